import { expect, test } from 'vitest';
import { adminRoutes } from './admin-routes.ts';
import { pathPattern, undeclaredIn } from './route.ts';

const { readStats, createInstance } = adminRoutes;
const JSON_TYPE = 'application/json; charset=utf-8';

test.each([
  ['a declared response', { status: 200, type: JSON_TYPE, body: { instances: 1 } }, undefined],
  ['an undeclared status', { status: 204, type: undefined }, /does not declare status 204/],
  ['another media type', { status: 200, type: 'text/plain' }, /does not declare text\/plain/],
  ['a missing field', { status: 200, type: JSON_TYPE, body: {} }, /instances/],
  [
    'an undeclared field',
    { status: 200, type: JSON_TYPE, body: { instances: 1, host: 'h' } },
    /does not declare: .*host/,
  ],
  ['an error as a page', { status: 401, type: 'text/html' }, undefined],
])('%s', (_, response, expected) => {
  const fault = undeclaredIn(readStats, response);
  if (expected) expect(fault).toMatch(expected);
  else expect(fault).toBeUndefined();
});

test('every route declares the responses of the request checks', () => {
  for (const status of [400, 401, 403, 413, 415, 503]) {
    expect(
      undeclaredIn(createInstance, { status, type: 'application/problem+json' }),
    ).toBeUndefined();
  }
});

test('a path matches as a whole, and in this case only if exact', () => {
  const exact = pathPattern('/v1/instances/{id}', true);
  expect(exact.exec('/v1/instances/a.b')?.groups).toEqual({ id: 'a.b' });
  for (const other of [
    '/v1/instances/a/',
    '/V1/instances/a',
    '/v1/instances/',
    '/v1/instances/a/b',
  ]) {
    expect(exact.test(other)).toBe(false);
  }
  expect(pathPattern('/openapi.json', true).test('/openapixjson')).toBe(false);
  expect(pathPattern('/demo/new', false).test('/Demo/new/')).toBe(true);
  expect(pathPattern('/', false).test('/')).toBe(true);
});
