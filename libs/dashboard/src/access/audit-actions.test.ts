import { expect, test } from 'vitest';
import { actionOf } from './audit-actions.ts';

const id = 'a'.repeat(26);

test.each([
  ['POST', '/login', { action: 'login' }],
  ['POST', '/instances/logout', { action: 'logout' }],
  ['POST', `/instances/${id}/end`, { action: 'instance.end', id }],
  ['POST', '/instances/x/end', { action: 'POST /instances/x/end' }],
  ['PUT', '/queues/api/queues/pause', { action: 'queue.pause' }],
  ['PUT', '/queues/api/queues/webhook/resume', { action: 'queue.resume', queue: 'webhook' }],
  ['PUT', '/queues/api/queues/webhook/retry/failed', { action: 'queue.retry', queue: 'webhook' }],
  ['PUT', '/queues/api/queues/webhook/clean/failed', { action: 'queue.clean', queue: 'webhook' }],
  [
    'PUT',
    `/queues/api/queues/instance-kill-a/${id}-7/promote`,
    { action: 'job.promote', id, queue: 'instance-kill-a', job: `${id}-7` },
  ],
  [
    'PUT',
    '/queues/api/queues/webhook/7/retry',
    { action: 'job.retry', queue: 'webhook', job: '7' },
  ],
  ['POST', `/${'x'.repeat(500)}`, { action: `POST /${'x'.repeat(94)}` }],
])('%s %s', (method, path, action) => {
  expect(actionOf(method, path)).toEqual(action);
});
