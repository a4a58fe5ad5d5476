import { expect, test } from 'vitest';
import { scopeFor } from './authorize.ts';

test.each([
  ['GET', '/openapi.json', undefined],
  ['GET', '/v1/templates', undefined],
  ['HEAD', '/v1/templates', undefined],
  ['GET', '/v1/instances', 'read'],
  ['GET', '/v1/events', 'read'],
  ['GET', '/metrics', 'read'],
  ['POST', '/v1/instances', 'create'],
  ['POST', '/v1/links', 'create'],
  ['DELETE', '/v1/instances', 'admin'],
  ['DELETE', '/v1/instances/a', 'admin'],
  ['POST', '/v1/instances/a/pause', 'admin'],
  // What the router takes for the same path is not opened by another spelling of it.
  ['POST', '/V1/instances', 'admin'],
  ['POST', '/v1/instances/', 'admin'],
  ['PUT', '/v1/instances', 'admin'],
  ['POST', '/v1/templates', 'admin'],
])('%s %s needs %s', (method, path, scope) => expect(scopeFor(method, path)).toBe(scope));
