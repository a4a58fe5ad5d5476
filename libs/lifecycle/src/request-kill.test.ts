import { expect, test } from 'vitest';
import { oneHost } from '../test/one-host.ts';
import { requestKill } from './kill.ts';

test('removes the route immediately, and a worker of the host removes the container', async () => {
  const host = oneHost();
  const { id, generation } = await host.ready();
  const outcome = await requestKill({ instances: host.instances, killRequests: host.killJobs }, id);
  expect(outcome).toMatchObject({ kind: 'draining', instance: { supersedes: generation } });
  expect(await host.stateOf(id)).toBe('draining');
  expect(host.killJobs.scheduled()).toMatchObject([{ id, host: 'a', dueAt: host.clock.now() }]);
  await host.fireKills();
  expect(await host.instances.get(id)).toMatchObject({ state: 'gone', reason: 'request' });
  expect(host.containersOf(id)).toEqual([]);
  expect(host.killJobs.scheduled()).toEqual([]);
});

test('of an unassigned instance leaves a tombstone immediately', async () => {
  const host = oneHost();
  const { id } = await host.pending();
  await requestKill({ instances: host.instances, killRequests: host.killJobs }, id);
  expect(await host.stateOf(id)).toBe('gone');
  expect(host.killJobs.scheduled()).toEqual([]);
});

test('is idempotent, also concurrently', async () => {
  const host = oneHost();
  const ports = { instances: host.instances, killRequests: host.killJobs };
  const { id } = await host.ready();
  const [ending, two] = await Promise.all([requestKill(ports, id), requestKill(ports, id)]);
  expect(two).toEqual(ending);
  expect(await requestKill(ports, id)).toEqual(ending);
  expect(host.killJobs.scheduled()).toHaveLength(1);
  await host.fireKills();
  expect(await requestKill(ports, id)).toEqual({ kind: 'absent' });
});

test('without a kill job is finished by reconciliation', async () => {
  const host = oneHost();
  const { id } = await host.ready();
  const killRequests = { enqueueNow: () => Promise.reject(new Error('the queue is unavailable')) };
  await expect(requestKill({ instances: host.instances, killRequests }, id)).rejects.toThrow(
    'unavailable',
  );
  host.clock.advance(6_000);
  expect(await host.reconcile()).toBe(1);
  expect(await host.stateOf(id)).toBe('gone');
  expect(host.containersOf(id)).toEqual([]);
});
