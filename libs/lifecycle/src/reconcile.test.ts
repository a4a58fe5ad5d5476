import { IDLE_SLACK } from '@ephemera/domain';
import { memoryInstances, sampleDraft, sampleTemplate } from '@ephemera/test-support';
import { describe, expect, test } from 'vitest';
import { Crash, crashingAfter, oneHost, recording } from '../test/one-host.ts';
import type { Through } from '../test/one-host.ts';

test('finds nothing to do where all is well, and says so', async () => {
  const host = oneHost();
  await host.ready();
  await host.pending();
  host.clock.advance(10_000);
  expect(await host.reconcile()).toBe(0);
  expect(host.mended).toEqual([]);
  expect(host.faults).toEqual([]);
});

test('arms a kill job that was lost, for the deadline that the lease has now', async () => {
  const host = oneHost();
  const { id, expiresAt } = await host.ready();
  host.clock.advance(1_000);
  host.killJobs.scheduled().forEach(({ generation }) => {
    void host.killJobs.cancel({ id, supersedes: generation, host: 'a' });
  });
  await host.reconcile();
  expect(host.killJobs.scheduled()).toMatchObject([{ id, host: 'a', dueAt: expiresAt }]);
});

// Redis did what a replica asked for, and the replica never heard of it.
test('takes away the job of a time in the pool, of whoever was claimed without the claimant’s knowing', async () => {
  const host = oneHost();
  const warm = await host.instances.createWarm(sampleDraft(), 'p', 1);
  if (!warm) throw new Error('the pool is full');
  host.serve(warm);
  await host.spawn(warm);
  const claimed = await host.instances.claimWarm('p', sampleDraft(), {});
  if (claimed.kind !== 'claimed') throw new Error('nothing was warm');
  host.clock.advance(1_000);
  await host.reconcile();
  expect(host.mended).toContain('label_claimed');
  const { id, generation } = claimed.instance;
  expect(host.killJobs.scheduled()).toMatchObject([{ id, generation }]);
});

// A worker stood still between beginning and arming until the instance was killed, and died then.
test('takes away the job of what has ended, and leaves the others to wait', async () => {
  const host = oneHost();
  const serves = await host.ready();
  const { id, generation } = await host.pending();
  const assigned = await host.instances.assignToHost(id, generation, 'a');
  if (!assigned) throw new Error('it could not be begun');
  await host.kill(id, 'request');
  await host.killJobs.schedule(assigned, 60_000);
  await host.reconcile();
  expect(host.killJobs.scheduled()).toMatchObject([{ id: serves.id }]);
});

test('leaves the job of what was claimed under it, until the claim has a job of its own', async () => {
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
        // The claimant dies before it arms anything.
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
  ['has restored it', true, []],
  ['is about to', false, ['rebuild']],
])('leaves the job of what another run rebuilds, where that %s', async (_, restored, kinds) => {
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

test('arms no job again that waits for its time', async () => {
  const host = oneHost();
  await host.ready();
  const calls: string[] = [];
  await host.reconcile(recording(calls));
  expect(calls).not.toContain('schedule');
});

// A replica died between the intent and the job, or a worker between the queue and the job.
test('asks for what was to be begun long ago, and not for what is young', async () => {
  const host = oneHost();
  const { id } = await host.pending();
  host.clock.advance(6_000);
  await host.pending();
  await host.reconcile();
  expect(host.asked).toEqual([id]);
});

// Thousands may wait for their start, and each costs a call.
test('asks for what was never begun behind all that it puts right', async () => {
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
        before ??= [...host.mended];
        return ports.instances.pendingWithoutHost(time);
      },
    },
  }));
  expect(before).toEqual(['finish_drain']);
  expect(host.asked).toEqual([id]);
});

test('ends what became overdue while no worker was there', async () => {
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
])('ends an instance whose container ended by itself: %o', async (how, reason, message) => {
  const host = oneHost();
  const { id } = await host.ready();
  host.containers.exit(id, how);
  host.clock.advance(1_000);
  expect(await host.reconcile()).toBe(1);
  expect(await host.instances.get(id)).toMatchObject({ state: 'gone', reason, message });
  expect(host.containersOf(id)).toEqual([]);
  expect(host.killJobs.scheduled()).toEqual([]);
});

test('ends an instance whose container somebody else removed', async () => {
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

describe('a store that has lost everything', () => {
  // An empty Redis once looked like 'no instances', and every container like an orphan.
  test('gets back every instance within its first deadline, and none beyond', async () => {
    const host = oneHost();
    const living = [await host.ready(), await host.ready()];
    const late = await host.ready({ timeout: 1_000 });
    const empty = memoryInstances({ now: host.clock.now });
    host.clock.advance(40_000);
    for (const job of host.killJobs.takeDue()) host.killJobs.done(job);
    await host.reconcile((ports) => ({ ...ports, instances: empty }));
    expect(host.mended.sort()).toEqual(['rebuild', 'rebuild', 'remove_orphan']);
    expect(host.containersOf(late.id)).toEqual([]);
    for (const { id, generation, address } of living) {
      expect(host.containersOf(id)).toHaveLength(1);
      expect(await empty.get(id)).toMatchObject({ state: 'ready', generation, address, host: 'a' });
      expect(host.killJobs.scheduled().map((job) => job.id)).toContain(id);
    }
    expect(await host.reconcile((ports) => ({ ...ports, instances: empty }))).toBe(0);
  });
});

// When it was last used is lost; whoever uses it has not been asked yet.
test('one that is put back and may end for being idle has its kill job for that, from now', async () => {
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

test('spares what is younger than the scan', async () => {
  const host = oneHost();
  const instance = await host.ready();
  // Made in the very moment in which the scan began; the store has not heard of it.
  const empty = memoryInstances({ now: host.clock.now });
  expect(await host.reconcile((ports) => ({ ...ports, instances: empty }))).toBe(0);
  expect(host.containersOf(instance.id)).toHaveLength(1);
});

test('one repair that fails keeps no other from being done', async () => {
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

test('twice at once is once', async () => {
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

// A daemon may never answer for one container, and answer for all others.
test('those that hang hold up no other, and are not begun again beside themselves', async () => {
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

test('a crash after any call, and the next run puts right what is left', async () => {
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
