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
  // A path in another spelling needs the strictest scope, even if the router matched it.
  ['POST', '/V1/instances', 'admin'],
  ['POST', '/v1/instances/', 'admin'],
  ['PUT', '/v1/instances', 'admin'],
  ['POST', '/v1/templates', 'admin'],
])('%s %s needs %s', (method, path, scope) => expect(scopeFor(method, path)).toBe(scope));
