import { describe, expect, test } from 'vitest';
import { Crash, crashingAfter, oneHost, recording } from '../test/one-host.ts';

test('the route is removed before the container', async () => {
  const host = oneHost();
  const { id } = await host.ready();
  const calls: string[] = [];
  await host.kill(id, 'request', recording(calls));
  expect(calls).toEqual(['startDraining(request)', 'removeInstance', 'cancel', 'finalize']);
});

test.each([
  ['request', 'gone'],
  ['idle', 'gone'],
  ['oom', 'gone'],
] as const)('for %s leaves no container, no kill job, and a tombstone', async (reason, state) => {
  const host = oneHost();
  const { id } = await host.ready();
  expect(await host.kill(id, reason)).toMatchObject({
    kind: 'killed',
    instance: { reason: reason },
  });
  expect(host.containersOf(id)).toEqual([]);
  expect(host.killJobs.scheduled()).toEqual([]);
  expect(await host.instances.get(id)).toMatchObject({ state, reason: reason });
});

test('with reason `due` keeps an instance whose lease has not ended', async () => {
  const host = oneHost();
  const { id } = await host.ready({ timeout: 9_000 });
  host.clock.advance(4_000);
  expect(await host.kill(id, 'due')).toEqual({ kind: 'leased', remaining: 5_000 });
  expect(host.containersOf(id)).toHaveLength(1);
  expect(await host.stateOf(id)).toBe('ready');
});

test('with reason `due` ends an instance at its deadline, once', async () => {
  const host = oneHost();
  const { id } = await host.ready({ timeout: 9_000 });
  host.clock.advance(9_000);
  await host.fireKills();
  expect(await host.instances.get(id)).toMatchObject({ state: 'gone', reason: 'ttl' });
  expect(host.containersOf(id)).toEqual([]);
  expect(host.killJobs.scheduled()).toEqual([]);
});

// The claiming replica died before it cancelled the kill job of the pool generation.
test('also cancels the kill job of the pool generation', async () => {
  const host = oneHost();
  const warm = await host.ready();
  const claimed = { ...warm, id: 'claimed', generation: warm.generation + 1 };
  await host.instances.restore({ ...claimed, pooledAs: warm.generation });
  await host.killJobs.schedule({ ...claimed, generation: warm.generation }, 600_000);
  await host.killJobs.schedule(claimed, 60_000);
  await host.kill('claimed', 'request');
  expect(host.killJobs.scheduled().map(({ id }) => id)).toEqual([warm.id]);
});

test('of a dead or unknown instance returns `absent` and changes nothing', async () => {
  const host = oneHost();
  const { id } = await host.ready();
  await host.kill(id, 'request');
  const calls: string[] = [];
  expect(await host.kill(id, 'request', recording(calls))).toEqual({ kind: 'absent' });
  expect(await host.kill('nobody', 'due', recording(calls))).toEqual({ kind: 'absent' });
  expect(calls).toEqual(['startDraining(request)', 'startDraining(due)']);
});

describe('twice', () => {
  test('concurrently, one run kills it, with the first reason', async () => {
    const host = oneHost();
    const { id } = await host.ready();
    const killed = await Promise.all([host.kill(id, 'oom'), host.kill(id, 'request')]);
    expect(killed.map(({ kind }) => kind).sort()).toEqual(['absent', 'killed']);
    expect(host.killed).toMatchObject([{ id, reason: 'oom' }]);
    expect(host.containersOf(id)).toEqual([]);
    expect(await host.instances.get(id)).toMatchObject({ state: 'gone', reason: 'oom' });
  });

  test('during a spawn, in every interleaving, leaves nothing', async () => {
    for (let turns = 0; turns < 40; turns++) {
      const host = oneHost();
      const instance = await host.pending();
      const spawned = host.spawn(instance);
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      await Promise.all([host.kill(instance.id, 'request'), host.kill(instance.id, 'request')]);
      await spawned;
      expect(host.containersOf(instance.id)).toEqual([]);
      expect(await host.stateOf(instance.id)).toBe('gone');
      // A kill job may remain that was scheduled after the kill. It finds nothing to do.
      host.clock.advance(60_000);
      await host.fireKills();
      expect(host.killJobs.scheduled()).toEqual([]);
    }
  });
});

test('is reported once, whatever ends the instance', async () => {
  const host = oneHost();
  const [requested, overdue, exited] = [
    await host.ready(),
    await host.ready({ timeout: 5_000 }),
    await host.ready(),
  ];
  const failing = await host.silent();
  const onProbe = () => host.containers.exit(failing.id, { exitCode: 3 });
  await host.spawn(failing, { onProbe });
  const outcome = await host.instances.startDraining(requested.id, 'request');
  if (outcome.kind !== 'draining') throw new Error(outcome.kind);
  host.containers.exit(exited.id, { exitCode: 1 });
  host.clock.advance(6_000);
  await host.reconcile();
  await host.reconcile();
  await host.fireKills();
  const reported = host.killed.map(({ id, reason }) => [id, reason]);
  expect(new Map(reported as [string, string][])).toEqual(
    new Map([
      [failing.id, 'start_failed'],
      [requested.id, 'request'],
      [overdue.id, 'ttl'],
      [exited.id, 'exited'],
    ]),
  );
  expect(reported).toHaveLength(4);
});

describe('a crash after step', () => {
  test.each([1, 2, 3, 4])('%i and the kill run again: gone', async (step) => {
    const host = oneHost();
    const { id } = await host.ready();
    await expect(host.kill(id, 'request', crashingAfter(step))).rejects.toThrow(Crash);
    await host.kill(id, 'request');
    expect(host.containersOf(id)).toEqual([]);
    expect(await host.instances.get(id)).toMatchObject({ state: 'gone', reason: 'request' });
  });

  test.each([1, 2, 3, 4])('%i without another run: reconciliation finishes it', async (step) => {
    const host = oneHost();
    const { id } = await host.ready();
    await expect(host.kill(id, 'request', crashingAfter(step))).rejects.toThrow(Crash);
    host.clock.advance(6_000);
    await host.reconcile();
    expect(host.faults).toEqual([]);
    expect(host.containersOf(id)).toEqual([]);
    expect(await host.instances.get(id)).toMatchObject({ state: 'gone', reason: 'request' });
    expect(host.killJobs.scheduled()).toEqual([]);
  });
});
