import { expect, test } from 'vitest';
import { actionOf } from './audit-actions.ts';

const id = 'a'.repeat(26);

test.each([
  ['POST', '/v1/instances', 'instance.create'],
  ['DELETE', '/v1/instances', 'instance.end-all'],
  ['DELETE', `/v1/instances/${id}`, 'instance.end'],
  ['POST', `/v1/instances/${id}/renew`, 'instance.renew'],
  ['POST', `/v1/instances/${id}/pause`, 'instance.pause'],
  ['POST', '/v1/links', 'link.create'],
  ['GET', `/v1/instances/${id}/logs`, 'instance.read-log'],
  ['GET', `/v1/instances/${id}`, undefined],
  ['GET', '/v1/events', undefined],
  ['PUT', '/v1/else', 'PUT /v1/else'],
  ['POST', `/${'x'.repeat(500)}`, `POST /${'x'.repeat(94)}`],
])('%s %s is called %s', (method, path, action) => {
  expect(actionOf(method, path)).toBe(action);
});
