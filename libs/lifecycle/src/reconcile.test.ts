import { IDLE_SLACK } from '@ephemera/domain';
import { memoryInstances, sampleDraft, sampleTemplate } from '@ephemera/test-support';
import { describe, expect, test } from 'vitest';
import { MAX_REPAIRS_IN_FLIGHT } from './limits.ts';
import { Crash, crashingAfter, oneHost, recording } from '../test/one-host.ts';
import type { Through } from '../test/one-host.ts';

test('makes no repair if nothing is wrong', async () => {
  const host = oneHost();
  await host.ready();
  await host.pending();
  host.clock.advance(10_000);
  expect(await host.reconcile()).toBe(0);
  expect(host.repaired).toEqual([]);
  expect(host.faults).toEqual([]);
});

test('schedules a lost kill job for the current deadline', async () => {
  const host = oneHost();
  const { id, expiresAt } = await host.ready();
  host.clock.advance(1_000);
  host.killJobs.scheduled().forEach(({ generation }) => {
    void host.killJobs.cancel({ id, supersedes: generation, host: 'a' });
  });
  await host.reconcile();
  expect(host.killJobs.scheduled()).toMatchObject([{ id, host: 'a', dueAt: expiresAt }]);
});

// Redis executed a claim, but the reply never reached the replica.
test('cancels the kill job of the pool generation after a claim without a reply', async () => {
  const host = oneHost();
  const warm = await host.instances.createWarm(sampleDraft(), 'p', 1);
  if (!warm) throw new Error('the pool is full');
  host.serve(warm);
  await host.spawn(warm);
  const claimed = await host.instances.claimWarm('p', sampleDraft(), {});
  if (claimed.kind !== 'claimed') throw new Error('nothing was warm');
  host.clock.advance(1_000);
  await host.reconcile();
  expect(host.repaired).toContain('label_claimed');
  const { id, generation } = claimed.instance;
  expect(host.killJobs.scheduled()).toMatchObject([{ id, generation }]);
});

// A worker stalled between the assignment and the schedule call until the instance was killed, and
// then died.
test('cancels the kill job of an ended instance, and keeps the others', async () => {
  const host = oneHost();
  const serves = await host.ready();
  const { id, generation } = await host.pending();
  const assigned = await host.instances.assignToHost(id, generation, 'a');
  if (!assigned) throw new Error('it could not be assigned');
  await host.kill(id, 'request');
  await host.killJobs.schedule(assigned, 60_000);
  await host.reconcile();
  expect(host.killJobs.scheduled()).toMatchObject([{ id: serves.id }]);
});

test('keeps the kill job of the pool generation until the claim has its own job', async () => {
  const host = oneHost();
  const warm = await host.instances.createWarm(sampleDraft(), 'p', 1);
  if (!warm) throw new Error('the pool is full');
  host.serve(warm);
  await host.spawn(warm);
  let looks = 0;
  await host.reconcile(({ killJobs, ...ports }) => ({
    ...ports,
    killJobs: {
      ...killJobs,
      async listDelayed(name) {
        // The claiming replica dies before it schedules a kill job.
        if (++looks === 2) await host.instances.claimWarm('p', sampleDraft(), {});
        return killJobs.listDelayed(name);
      },
    },
  }));
  expect(host.killJobs.scheduled()).toMatchObject([{ id: warm.id, generation: warm.generation }]);
  await host.reconcile();
  const claimed = await host.instances.get(warm.id);
  expect(host.killJobs.scheduled()).toMatchObject([
    { id: warm.id, generation: claimed?.generation },
  ]);
});

test.each([
  ['has restored', true, []],
  ['is about to rebuild', false, ['rebuild']],
])('keeps the kill job of an instance that another run %s', async (_, restored, kinds) => {
  const lost = await oneHost().ready();
  const host = oneHost();
  await host.killJobs.schedule(lost, 60_000);
  const through: Through = ({ instances, ...ports }) => ({
    ...ports,
    instances: {
      ...instances,
      async get(id) {
        if (restored) await instances.restore(lost);
        return instances.get(id);
      },
    },
  });
  await host.reconcile(through, { inFlight: new Set(kinds.map((kind) => `${kind} ${lost.id}`)) });
  expect(host.killJobs.scheduled()).toMatchObject([{ id: lost.id }]);
});

test('schedules no existing kill job again', async () => {
  const host = oneHost();
  await host.ready();
  const calls: string[] = [];
  await host.reconcile(recording(calls));
  expect(calls).not.toContain('schedule');
});

// A replica died between the intent and the spawn job, or a worker between the dequeue and the
// spawn job.
test('requeues old pending instances, but not young ones', async () => {
  const host = oneHost();
  const { id } = await host.pending();
  host.clock.advance(6_000);
  await host.pending();
  await host.reconcile();
  expect(host.requeued).toEqual([id]);
});

// Thousands of instances may be pending, and each needs a call.
test('requeues pending instances after all repairs', async () => {
  const host = oneHost();
  await host.ready({ timeout: 5_000 });
  const { id } = await host.pending();
  host.clock.advance(6_000);
  let before: string[] | undefined;
  await host.reconcile((ports) => ({
    ...ports,
    instances: {
      ...ports.instances,
      pendingWithoutHost(time) {
        before ??= [...host.repaired];
        return ports.instances.pendingWithoutHost(time);
      },
    },
  }));
  expect(before).toEqual(['finish_drain']);
  expect(host.requeued).toEqual([id]);
});

test('ends instances that became overdue while no worker was running', async () => {
  const host = oneHost();
  const overdue = [await host.ready({ timeout: 5_000 }), await host.ready({ timeout: 6_000 })];
  const { id: lasting } = await host.ready();
  host.clock.advance(10_000);
  expect(await host.reconcile()).toBe(2);
  for (const { id } of overdue) {
    expect(host.containersOf(id)).toEqual([]);
    expect(await host.instances.get(id)).toMatchObject({ state: 'gone', reason: 'ttl' });
  }
  expect(await host.stateOf(lasting)).toBe('ready');
});

test.each([
  [{ exitCode: 3 }, 'exited', 'The container exited with code 3.'],
  [{ exitCode: 137, oomKilled: true }, 'oom', 'The container ran out of memory.'],
])('ends an instance whose container exited: %o', async (how, reason, message) => {
  const host = oneHost();
  const { id } = await host.ready();
  host.containers.exit(id, how);
  host.clock.advance(1_000);
  expect(await host.reconcile()).toBe(1);
  expect(await host.instances.get(id)).toMatchObject({ state: 'gone', reason, message });
  expect(host.containersOf(id)).toEqual([]);
  expect(host.killJobs.scheduled()).toEqual([]);
});

test('ends an instance whose container another program removed', async () => {
  const host = oneHost();
  const { id } = await host.ready();
  await host.containers.removeInstance(id, 0);
  host.clock.advance(1_000);
  expect(await host.reconcile()).toBe(0);
  host.clock.advance(5_000);
  expect(await host.reconcile()).toBe(1);
  expect(await host.instances.get(id)).toMatchObject({ state: 'gone', reason: 'exited' });
});

test('removes a container whose instance is dead', async () => {
  const host = oneHost();
  const { id, generation } = await host.ready();
  const outcome = await host.instances.startDraining(id, 'request');
  if (outcome.kind !== 'draining') throw new Error(outcome.kind);
  await host.instances.finalize(id, outcome.instance.generation);
  expect(generation).toBeLessThan(outcome.instance.generation);
  host.clock.advance(1);
  expect(await host.reconcile()).toBe(1);
  expect(host.containersOf(id)).toEqual([]);
});

describe('a store that has lost all data', () => {
  // An empty Redis must not make every container look like an orphan.
  test('regains every instance before its first deadline, and no other', async () => {
    const host = oneHost();
    const living = [await host.ready(), await host.ready()];
    const late = await host.ready({ timeout: 1_000 });
    const empty = memoryInstances({ now: host.clock.now });
    host.clock.advance(40_000);
    for (const job of host.killJobs.takeDue()) host.killJobs.done(job);
    await host.reconcile((ports) => ({ ...ports, instances: empty }));
    expect(host.repaired.sort()).toEqual(['rebuild', 'rebuild', 'remove_orphan']);
    expect(host.containersOf(late.id)).toEqual([]);
    for (const { id, generation, address } of living) {
      expect(host.containersOf(id)).toHaveLength(1);
      expect(await empty.get(id)).toMatchObject({ state: 'ready', generation, address, host: 'a' });
      expect(host.killJobs.scheduled().map((job) => job.id)).toContain(id);
    }
    expect(await host.reconcile((ports) => ({ ...ports, instances: empty }))).toBe(0);
  });
});

// The last use is lost, and the proxies have not reported a new one yet.
test('a restored instance with an idle timeout gets a kill job for the timeout from now', async () => {
  const host = oneHost();
  const loseKills = host.killJobs.save();
  const { id } = await host.ready({ template: sampleTemplate({ idleTimeout: 5_000 }) });
  const empty = memoryInstances({ now: host.clock.now });
  host.clock.advance(20_000);
  loseKills();
  await host.reconcile((ports) => ({ ...ports, instances: empty }));
  const dueAt = host.clock.now() + 5_000 + IDLE_SLACK;
  expect(host.killJobs.scheduled()).toMatchObject([{ id, dueAt }]);
});

test('ignores containers that are younger than the scan', async () => {
  const host = oneHost();
  const instance = await host.ready();
  // Created at the moment when the scan began, and not yet in the store.
  const empty = memoryInstances({ now: host.clock.now });
  expect(await host.reconcile((ports) => ({ ...ports, instances: empty }))).toBe(0);
  expect(host.containersOf(instance.id)).toHaveLength(1);
});

test('a failed repair does not prevent the others', async () => {
  const host = oneHost();
  const all = [];
  for (let i = 0; i < 20; i++) all.push(await host.ready({ timeout: 5_000 }));
  host.clock.advance(6_000);
  const stubborn = all[3]?.id ?? '';
  await host.reconcile((ports) => ({
    ...ports,
    containers: {
      ...ports.containers,
      removeInstance: (id, grace) =>
        id === stubborn
          ? Promise.reject(new Error('the daemon hangs'))
          : ports.containers.removeInstance(id, grace),
    },
  }));
  expect(host.faults).toHaveLength(1);
  expect([...host.containers.containers.values()].map(({ id }) => id)).toEqual([stubborn]);
  host.clock.advance(6_000);
  expect(await host.reconcile()).toBe(1);
  expect(host.containers.containers.size).toBe(0);
});

test('concurrent runs act like one', async () => {
  const host = oneHost();
  const { id } = await host.ready({ timeout: 5_000 });
  const lasting = await host.ready();
  host.clock.advance(6_000);
  await Promise.all([host.reconcile(), host.reconcile()]);
  expect(host.faults).toEqual([]);
  expect(await host.stateOf(id)).toBe('gone');
  expect(host.containersOf(lasting.id)).toHaveLength(1);
  await host.fireKills();
  expect(host.killJobs.scheduled()).toHaveLength(1);
});

// A daemon may hang on one container and respond for all others.
test('hanging repairs do not delay others, and are not started a second time', async () => {
  const host = oneHost();
  const hung = new Set<string>();
  for (let i = 0; i < 20; i++) hung.add((await host.ready({ timeout: 5_000 })).id);
  const last = await host.ready({ timeout: 5_000 });
  host.clock.advance(6_000);
  let calls = 0;
  const never: Through = (ports) => ({
    ...ports,
    containers: {
      ...ports.containers,
      removeInstance(id, grace) {
        if (!hung.has(id)) return ports.containers.removeInstance(id, grace);
        calls++;
        return new Promise(() => undefined);
      },
    },
  });
  const more = { inFlight: new Set<string>(), repairTimeoutMs: 20 };
  expect(await host.reconcile(never, more)).toBe(1);
  expect(await host.stateOf(last.id)).toBe('gone');
  host.clock.advance(6_000);
  await host.reconcile(never, more);
  expect(calls).toBe(hung.size);
});

test('a repair that does not start because too many are in progress is reported', async () => {
  const host = oneHost();
  const exited = await host.ready();
  host.containers.exit(exited.id, { exitCode: 1 });
  host.clock.advance(6_000);
  const skipped: string[] = [];
  const inFlight = new Set(Array.from({ length: MAX_REPAIRS_IN_FLIGHT }, (_, i) => `rebuild ${i}`));
  const more = { inFlight, onSkip: (kind: string) => skipped.push(kind) };
  expect(await host.reconcile(undefined, more)).toBe(0);
  expect(skipped).toEqual(['end']);
});

test('after a crash at any call, the next run completes the repairs', async () => {
  let crashed = true;
  for (let step = 1; crashed; step++) {
    const host = oneHost();
    const overdue = await host.ready({ timeout: 5_000 });
    const exited = await host.ready();
    const fine = await host.ready();
    host.containers.exit(exited.id, { exitCode: 1 });
    host.clock.advance(6_000);
    crashed = await host.reconcile(crashingAfter(step)).then(
      () => host.faults.length > 0,
      (error: unknown) => error instanceof Crash,
    );
    host.clock.advance(6_000);
    host.faults.length = 0;
    await host.reconcile();
    expect(host.faults).toEqual([]);
    expect([...host.containers.containers.values()].map(({ id }) => id)).toEqual([fine.id]);
    expect(await host.stateOf(overdue.id)).toBe('gone');
    expect(await host.stateOf(exited.id)).toBe('gone');
    expect(await host.stateOf(fine.id)).toBe('ready');
  }
});
