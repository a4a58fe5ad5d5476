import { manualClock, memoryInstances, sampleDraft } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { oneHost } from '../test/one-host.ts';
import { expireInstancesOfDeadHosts } from './expire-dead-hosts.ts';

// A host has burnt down. What it ran still stands in the store.

function fixture() {
  const clock = manualClock();
  const instances = memoryInstances({ now: () => clock.now() });
  const signs: { host: string; seenAt: number }[] = [{ host: 'lost', seenAt: clock.now() }];
  const hosts = { hostStatuses: () => Promise.resolve(signs) };
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
    signs,
    ready,
    stateOf,
    finalize: () => expireInstancesOfDeadHosts({ instances, hosts }),
  };
}

test('what is overdue there is buried, what still has time is left', async () => {
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

test('an end that its worker began and did not finish is finished', async () => {
  const { clock, instances, ready, stateOf, finalize } = fixture();
  const id = await ready('lost', 600_000);
  await instances.startDraining(id, 'request');
  clock.advance(70_000);
  expect(await finalize()).toEqual([id]);
  expect(await stateOf(id)).toBe('gone');
});

// Its workers are away, and its daemon runs on: what somebody had ended would come back to life.
test('a container that is found after the tombstone has had its time is removed', async () => {
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
  expect(host.mended).toEqual(['remove_orphan']);
  expect(host.containersOf(id)).toEqual([]);
});

test('a host that is alive buries its own', async () => {
  const { clock, signs, ready, stateOf, finalize } = fixture();
  const id = await ready('alive', 1_000);
  clock.advance(100_000);
  signs.push({ host: 'alive', seenAt: clock.now() });
  expect(await finalize()).toEqual([]);
  expect(await stateOf(id)).toBe('ready');
});
