import { expect, test } from 'vitest';
import { scopeFor, actionOf } from './authorize.ts';

test.each([
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
  ['POST', '/v1/instances/a/exec', 'exec'],
  ['GET', '/v1/instances/a/exec/b', 'exec'],
  ['HEAD', '/v1/instances/a/exec/b', 'exec'],
  ['POST', '/v1/instances/a/exec/b/kill', 'exec'],
  ['POST', '/v1/instances/a/exec/', 'admin'],
  ['GET', '/v1/instances/a/files', 'exec'],
  ['PUT', '/v1/instances/a/files', 'exec'],
  ['POST', '/v1/instances/a/files/move', 'exec'],
  ['PUT', '/v1/instances/a/files/', 'admin'],
  ['GET', '/v1/hosts', 'read'],
  ['POST', '/v1/hosts/h1/drain', 'admin'],
  // A path in another spelling needs the strictest scope, even if the router matched it.
  ['POST', '/V1/instances', 'admin'],
  ['POST', '/v1/instances/', 'admin'],
  ['PUT', '/v1/instances', 'admin'],
  ['POST', '/v1/templates', 'admin'],
])('%s %s needs %s', (method, path, scope) => expect(scopeFor(method, path)).toBe(scope));

const id = 'a'.repeat(26);

test.each([
  ['POST', '/v1/instances', 'instance.create'],
  ['DELETE', '/v1/instances', 'instance.end-all'],
  ['DELETE', `/v1/instances/${id}`, 'instance.end'],
  ['POST', `/v1/instances/${id}/renew`, 'instance.renew'],
  ['POST', `/v1/instances/${id}/pause`, 'instance.pause'],
  ['POST', '/v1/links', 'link.create'],
  ['GET', `/v1/instances/${id}/logs`, 'instance.read-log'],
  ['POST', `/v1/instances/${id}/exec`, 'instance.exec'],
  ['POST', `/v1/instances/${id}/exec/b/kill`, 'instance.exec-kill'],
  ['GET', `/v1/instances/${id}/exec/b`, 'instance.read-exec'],
  ['GET', `/v1/instances/${id}/files`, 'instance.read-file'],
  ['PUT', `/v1/instances/${id}/files`, 'instance.write-file'],
  ['DELETE', `/v1/instances/${id}/files`, 'instance.remove-file'],
  ['POST', `/v1/instances/${id}/files/move`, 'instance.move-file'],
  ['GET', `/v1/instances/${id}`, undefined],
  ['GET', '/v1/events', undefined],
  ['POST', '/v1/hosts/h1/drain', 'host.drain'],
  ['PUT', '/v1/else', 'PUT /v1/else'],
  ['POST', `/${'x'.repeat(500)}`, `POST /${'x'.repeat(94)}`],
])('%s %s is called %s', (method, path, action) => {
  expect(actionOf(method, path)).toBe(action);
});
