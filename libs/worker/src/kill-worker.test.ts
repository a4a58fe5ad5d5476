import { waitFor } from '@ephemera/test-support';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { HOST } from '../test/docker-fixture.ts';
import { openQueues } from '../test/queue-fixture.ts';
import { startKillWorker } from './kill-worker.ts';
import { hastenLateKills } from './late-kills.ts';
import { removeInLanes } from './remove-in-lanes.ts';
import type { QueueWorker } from './spawn-worker.ts';

let fixture: Awaited<ReturnType<typeof openQueues>>;
let worker: QueueWorker;
let removed: string[];
beforeAll(async () => {
  fixture = await openQueues();
});
afterAll(() => fixture.close());

beforeEach(() => {
  removed = [];
  const { instances, containers, kills, onKilled, options } = fixture;
  const watched = {
    ...containers,
    async removeInstance(id: string, grace: number) {
      await containers.removeInstance(id, grace);
      removed.push(id);
    },
  };
  worker = startKillWorker({ instances, containers: watched, kills, onKilled }, HOST, options);
});
afterEach(() => worker.stop());

const dead = (id: string) =>
  waitFor('its end', async () => {
    const instance = await fixture.instances.get(id);
    return instance?.state === 'gone' && instance;
  });

test('ends an instance at its deadline, and not before it', async () => {
  const { id, expiresAt } = await fixture.ready({ timeout: 300 });
  const { reason, lastTransitionAt } = await dead(id);
  expect(reason).toBe('ttl');
  expect(lastTransitionAt).toBeGreaterThanOrEqual(expiresAt);
  expect(removed).toEqual([id]);
});

// The job is a hint: one that fires early, or for a lease that was renewed, waits again. Were that
// an attempt, an instance that is renewed for long enough would never be killed.
test('a job whose lease runs on waits for the new deadline, and spends no attempt', async () => {
  const { id, generation } = await fixture.ready({ timeout: 1_500 }, 1_400);
  const job = await waitFor('the job to have fired and to wait again', async () => {
    const found = await fixture.killJobs.getJob(`${id}-${generation}`);
    return (found?.attemptsStarted ?? 0) > 0 && (await found?.isDelayed()) && found;
  });
  expect(job.attemptsMade).toBe(0);
  expect(removed).toEqual([]);
  const { expiresAt } = (await fixture.instances.get(id)) ?? {};
  const { dueAt } = job.data as { dueAt: string };
  expect(Math.abs(Date.parse(dueAt) - (expiresAt ?? 0))).toBeLessThan(200);
  await dead(id);
  expect(removed).toEqual([id]);
});

test('a renewed instance lives on to its new deadline, whatever its job was armed for', async () => {
  const { id } = await fixture.ready({ timeout: 400 });
  const renewed = await fixture.leases.renew(id, { timeout: 1_200, shorten: false });
  if (renewed.kind !== 'renewed') throw new Error(renewed.kind);
  const { lastTransitionAt } = await dead(id);
  expect(lastTransitionAt).toBeGreaterThanOrEqual(renewed.instance.expiresAt);
});

// A clock that is set back by an hour while a job waits makes it an hour late.
test('a job that the queue takes for not due is hastened at the deadline', async () => {
  const late = hastenLateKills({ kills: fixture.kills, within: 5_000, onFault: () => undefined });
  const instance = await fixture.ready({ timeout: 300 }, -3_600_000);
  late.expect(instance, 20_000);
  late.expect(instance, instance.expiresAt - (await fixture.instances.now()));
  const { reason, lastTransitionAt } = await dead(instance.id);
  expect(reason).toBe('ttl');
  expect(lastTransitionAt).toBeGreaterThanOrEqual(instance.expiresAt);
  late.stop();
});

// Two hundred deadlines at one instant: whoever waited for the daemon stayed reachable meanwhile.
test('what waits for its removal is withdrawn already', async () => {
  await worker.stop();
  const { instances, containers, kills, options } = fixture;
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  let most = 0;
  let now = 0;
  const slow = {
    ...containers,
    async removeInstance(id: string, grace: number) {
      most = Math.max(most, ++now);
      await held;
      now--;
      await containers.removeInstance(id, grace);
    },
  };
  const lanes = 4;
  const inLanes = removeInLanes(slow, lanes);
  worker = startKillWorker({ instances, containers: inLanes, kills }, HOST, options);
  const made = [];
  for (let i = 0; i < lanes + 3; i++) {
    made.push(await fixture.ready({ timeout: 1_000 }));
  }
  for (const { id } of made) {
    await waitFor('its withdrawal', async () => (await instances.get(id))?.state === 'draining');
  }
  expect(most).toBe(lanes);
  release();
  for (const { id } of made) await dead(id);
  expect(most).toBe(lanes);
});

test('finishes what was ended elsewhere, at once', async () => {
  const { id } = await fixture.ready({ timeout: 60_000 });
  const ending = await fixture.instances.end(id, 'request');
  if (ending.kind !== 'draining') throw new Error(ending.kind);
  await fixture.ends.finish(ending.instance);
  expect(await dead(id)).toMatchObject({ reason: 'request' });
  expect(removed).toEqual([id]);
  expect(await fixture.killJobs.getDelayedCount()).toBe(0);
});

test('a job for what is gone already has nothing to do', async () => {
  const { id, generation, host } = await fixture.ready({ timeout: 60_000 });
  const ending = await fixture.instances.end(id, 'request');
  if (ending.kind !== 'draining') throw new Error(ending.kind);
  await fixture.instances.bury(id, ending.instance.generation);
  await fixture.kills.disarm({ id, supersedes: generation, host });
  await fixture.kills.arm({ id, generation, host }, 0);
  const job = await waitFor('the job to be done', async () => {
    const found = await fixture.killJobs.getJob(`${id}-${generation}`);
    return (await found?.isCompleted()) && found;
  });
  expect(job.returnvalue).toEqual({ kind: 'absent' });
  expect(removed).toEqual([]);
});

test('a removal that fails is tried again until it succeeds', async () => {
  await worker.stop();
  const { instances, containers, kills, options } = fixture;
  let tries = 0;
  const stubborn = {
    ...containers,
    async removeInstance(id: string, grace: number) {
      if (++tries < 3) throw new Error('the daemon is away');
      await containers.removeInstance(id, grace);
    },
  };
  worker = startKillWorker({ instances, containers: stubborn, kills }, HOST, options);
  const { id } = await fixture.ready({ timeout: 100 });
  expect(await dead(id)).toMatchObject({ reason: 'ttl' });
  expect(tries).toBe(3);
});

// One that is stopped in the midst of a long stop grace, or before a daemon that hangs.
test('a kill that outlasts the stop of its worker goes back, and another finishes it', async () => {
  await worker.stop();
  const { instances, containers, kills, options } = fixture;
  const hung = { ...containers, removeInstance: () => new Promise<void>(() => undefined) };
  const at = { ...options, finishWithin: 50 };
  const stopped = startKillWorker({ instances, containers: hung, kills }, HOST, at);
  const { id, generation } = await fixture.ready({ timeout: 100 });
  await waitFor('its end', async () => (await instances.get(id))?.state === 'draining');
  await stopped.stop();
  const job = await fixture.killJobs.getJob(`${id}-${generation}`);
  expect(await job?.getState()).toMatch(/delayed|waiting/);
  worker = startKillWorker({ instances, containers, kills }, HOST, options);
  expect(await dead(id)).toMatchObject({ reason: 'ttl' });
  expect(await fixture.killJobs.getJob(`${id}-${generation}`)).toMatchObject({ stalledCounter: 0 });
});

test('counts what it ended, by reason', async () => {
  const text = await fixture.registry.metrics();
  expect(text).toMatch(/ephemera_kills_total\{reason="ttl",app="worker"\} [1-9]/);
  expect(text).toMatch(/ephemera_kill_lateness_seconds_count\{app="worker"\} [1-9]/);
});
