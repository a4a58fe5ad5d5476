import { expect, test } from 'vitest';
import { z } from 'zod';
import { adminRoutes } from './admin-routes.ts';
import { openApiDocument } from './openapi.ts';
import { EXAMPLES } from './openapi-examples.ts';
import { PROBLEM_KINDS } from './problem-kinds.ts';
import { defineRoute, json } from './route.ts';

interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary?: string;
  readonly security?: unknown[];
  readonly servers?: readonly { readonly url: string }[];
  readonly requestBody?: { readonly content: Record<string, { readonly example?: unknown }> };
  readonly responses: Record<
    string,
    {
      description: string;
      content?: Record<string, { schema: { $ref?: string }; example?: unknown }>;
    }
  >;
}

const startPage = defineRoute({
  method: 'GET',
  path: '/start',
  summary: 'Show a page',
  responses: { 200: json(z.string(), 'The page') },
});

const document = openApiDocument({
  version: '1.2.3',
  admin: { url: '/', routes: adminRoutes },
  visitors: { url: 'https://demos.example', routes: { startPage } },
}) as {
  openapi: string;
  info: { version: string };
  servers: { url: string }[];
  tags: { name: string }[];
  paths: Record<string, Record<string, Operation>>;
  webhooks: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, { properties: Record<string, { enum?: string[] }> }> };
};

const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ name: `${method} ${path}`, operation })),
);

test('describes this version in OpenAPI 3.1', () => {
  expect(document.openapi).toBe('3.1.0');
  expect(document.info.version).toBe('1.2.3');
  expect(document.servers.map(({ url }) => url)).toEqual(['/']);
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

test('the name of a route in the declarations is its operationId', () => {
  const ids = operations.map(({ operation }) => operation.operationId);
  expect(ids.sort()).toEqual([...Object.keys(adminRoutes), 'startPage'].sort());
});

test.each(operations)(
  '$name has a summary, a known tag and error responses',
  ({ name, operation }) => {
    expect(operation.summary).toMatch(/^[A-Z]/);
    expect(document.tags.map((tag) => tag.name)).toEqual(
      expect.arrayContaining([...operation.tags]),
    );
    expect(operation.tags).toHaveLength(1);
    expect(Object.keys(operation.responses)).toContain('400');
    if (/ \/(?:healthz|readyz|tls|openapi|docs|start)/.test(name)) {
      expect(operation.security).toEqual([]);
      return;
    }
    expect(operation.security).toEqual([{ token: [] }]);
    expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(['401', '503']));
  },
);

test('routes of the public port have its server and need no token', () => {
  const operation = document.paths['/start']?.['get'];
  expect(operation).toMatchObject({ tags: ['Visitors'], security: [] });
  expect(operation?.servers?.map(({ url }) => url)).toEqual(['https://demos.example']);
});

test('every kind of problem is in the enum of the type', () => {
  expect(document.components.schemas['Problem']?.properties['type']?.enum?.sort()).toEqual(
    Object.keys(PROBLEM_KINDS)
      .map((kind) => `urn:ephemera:problem:${kind}`)
      .sort(),
  );
});

test('the webhook delivers the event of the stream', () => {
  const operation = document.webhooks['instanceEvent']?.['post'];
  expect(operation?.requestBody?.content['application/json']).toMatchObject({
    schema: { $ref: '#/components/schemas/Event' },
    example: { type: 'ready' },
  });
});

test('every JSON body of a named schema has an example', () => {
  const missing = operations.flatMap(({ name, operation }) =>
    [operation.requestBody, ...Object.values(operation.responses)]
      .flatMap((part) => Object.entries(part?.content ?? {}))
      .filter(([type, media]) => type.endsWith('json') && JSON.stringify(media).includes('$ref'))
      .filter(([, media]) => media.example === undefined)
      .map(() => name),
  );
  expect(missing).toEqual([]);
});

// scripts/check-openapi.mjs checks that each example conforms to its schema.
test('every example is of a schema in the document', () => {
  expect(Object.keys(document.components.schemas)).toEqual(
    expect.arrayContaining(Object.keys(EXAMPLES)),
  );
});

test('every schema reference resolves', () => {
  const references = JSON.stringify(document).match(/#\/components\/schemas\/\w+/g) ?? [];
  expect(references.length).toBeGreaterThan(0);
  for (const reference of references) {
    expect(document.components.schemas).toHaveProperty(reference.split('/').at(-1) ?? '');
  }
});
