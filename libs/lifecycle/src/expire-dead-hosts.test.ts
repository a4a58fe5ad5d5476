import { manualClock, memoryInstances, sampleDraft } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { oneHost } from '../test/one-host.ts';
import { expireInstancesOfDeadHosts } from './expire-dead-hosts.ts';

// A host has failed permanently, and its instances are still in the store.

function fixture() {
  const clock = manualClock();
  const instances = memoryInstances({ now: () => clock.now() });
  const statuses: { host: string; seenAt: number }[] = [{ host: 'lost', seenAt: clock.now() }];
  const hosts = { hostStatuses: () => Promise.resolve(statuses) };
  const ready = async (host: string, timeout: number) => {
    const { id, generation } = await instances.create(sampleDraft({ timeout }));
    await instances.assignToHost(id, generation, host);
    await instances.markReady(id, generation, '10.0.0.9');
    return id;
  };
  const stateOf = async (id: string) => (await instances.get(id))?.state;
  return {
    clock,
    instances,
    hosts,
    statuses,
    ready,
    stateOf,
    finalize: () => expireInstancesOfDeadHosts({ instances, hosts }),
  };
}

test('overdue instances of a dead host are finalized, others are left', async () => {
  const { clock, ready, stateOf, finalize } = fixture();
  const [brief, long] = [await ready('lost', 10_000), await ready('lost', 600_000)];
  clock.advance(50_000);
  expect(await finalize()).toEqual([]);
  clock.advance(20_000);
  expect(await finalize()).toEqual([brief]);
  expect([await stateOf(brief), await stateOf(long)]).toEqual(['gone', 'ready']);
  clock.advance(600_000);
  expect(await finalize()).toEqual([long]);
  expect(await finalize()).toEqual([]);
});

test('a started kill of a dead host is finished', async () => {
  const { clock, instances, ready, stateOf, finalize } = fixture();
  const id = await ready('lost', 600_000);
  await instances.startDraining(id, 'request');
  clock.advance(70_000);
  expect(await finalize()).toEqual([id]);
  expect(await stateOf(id)).toBe('gone');
});

// The workers of the host are gone, but its daemon still runs. An ended instance must not be
// restored from its container.
test('a container that is found after its tombstone would have expired is removed', async () => {
  const host = oneHost({ tombstone: 1_000 });
  const { id, expiresAt } = await host.ready({ timeout: 600_000 });
  const seenAt = host.clock.now();
  await host.instances.startDraining(id, 'request');
  host.clock.advance(70_000);
  const hosts = { hostStatuses: () => Promise.resolve([{ host: 'a', seenAt }]) };
  const reported: string[] = [];
  const onKilled = (instance: { id: string }) => reported.push(instance.id);
  expect(await expireInstancesOfDeadHosts({ instances: host.instances, hosts, onKilled })).toEqual([
    id,
  ]);
  expect(reported).toEqual([id]);
  host.clock.advance(5_000);
  expect(host.clock.now()).toBeLessThan(expiresAt);
  await host.reconcile();
  expect(host.repaired).toEqual(['remove_orphan']);
  expect(host.containersOf(id)).toEqual([]);
});

test('instances of a live host are left to its workers', async () => {
  const { clock, statuses, ready, stateOf, finalize } = fixture();
  const id = await ready('alive', 1_000);
  clock.advance(100_000);
  statuses.push({ host: 'alive', seenAt: clock.now() });
  expect(await finalize()).toEqual([]);
  expect(await stateOf(id)).toBe('ready');
});
