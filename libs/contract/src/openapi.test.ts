import { expect, test } from 'vitest';
import { adminRoutes } from './admin-routes.ts';
import { openApiDocument } from './openapi.ts';

interface Operation {
  readonly summary?: string;
  readonly security?: unknown[];
  readonly responses: Record<string, { description: string }>;
}

const document = openApiDocument('1.2.3', Object.values(adminRoutes)) as {
  openapi: string;
  info: { version: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, unknown> };
};

const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ name: `${method} ${path}`, operation })),
);

test('describes this version in OpenAPI 3.1', () => {
  expect(document.openapi).toBe('3.1.0');
  expect(document.info.version).toBe('1.2.3');
  expect(operations.map(({ name }) => name)).toEqual(
    expect.arrayContaining([
      'post /v1/instances',
      'get /v1/instances',
      'delete /v1/instances',
      'get /v1/instances/{id}',
      'delete /v1/instances/{id}',
      'post /v1/instances/{id}/renew',
    ]),
  );
});

test.each(operations)('$name has a summary and error responses', ({ name, operation }) => {
  expect(operation.summary).toMatch(/^[A-Z]/);
  expect(Object.keys(operation.responses)).toContain('400');
  if (/ \/(?:healthz|readyz|tls)/.test(name)) {
    expect(operation.security).toEqual([]);
    return;
  }
  expect(operation.security).toEqual([{ token: [] }]);
  expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(['401', '503']));
});

test('every schema reference resolves', () => {
  const references = JSON.stringify(document).match(/#\/components\/schemas\/\w+/g) ?? [];
  expect(references.length).toBeGreaterThan(0);
  for (const reference of references) {
    expect(document.components.schemas).toHaveProperty(reference.split('/').at(-1) ?? '');
  }
});
