import { expect, test } from 'vitest';
import { actionOf } from './audit-actions.ts';

const id = 'a'.repeat(26);

test.each([
  ['POST', '/login', { act: 'login' }],
  ['POST', '/instances/logout', { act: 'logout' }],
  ['POST', `/instances/${id}/end`, { act: 'instance.end', id }],
  ['POST', '/instances/x/end', { act: 'POST /instances/x/end' }],
  ['PUT', '/queues/api/queues/pause', { act: 'queue.pause' }],
  ['PUT', '/queues/api/queues/webhook/resume', { act: 'queue.resume', queue: 'webhook' }],
  ['PUT', '/queues/api/queues/webhook/retry/failed', { act: 'queue.retry', queue: 'webhook' }],
  ['PUT', '/queues/api/queues/webhook/clean/failed', { act: 'queue.clean', queue: 'webhook' }],
  [
    'PUT',
    `/queues/api/queues/instance-kill-a/${id}-7/promote`,
    { act: 'job.promote', id, queue: 'instance-kill-a', job: `${id}-7` },
  ],
  ['PUT', '/queues/api/queues/webhook/7/retry', { act: 'job.retry', queue: 'webhook', job: '7' }],
  ['POST', `/${'x'.repeat(500)}`, { act: `POST /${'x'.repeat(94)}` }],
])('%s %s', (method, path, action) => {
  expect(actionOf(method, path)).toEqual(action);
});
