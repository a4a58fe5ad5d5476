import { reconcile } from '@ephemera/lifecycle';
import { waitFor } from '@ephemera/test-support';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { HOST } from '../test/docker-fixture.ts';
import { openQueues } from '../test/queue-fixture.ts';
import { startKillWorker } from './kill-worker.ts';
import { withRemovalLimit } from './concurrency-limit.ts';
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
  const { instances, containers, kills: killJobs, onKilled, options } = fixture;
  const watched = {
    ...containers,
    async removeInstance(id: string, grace: number) {
      await containers.removeInstance(id, grace);
      removed.push(id);
    },
  };
  worker = startKillWorker({ instances, containers: watched, killJobs, onKilled }, HOST, options);
});
afterEach(() => worker.stop());

const dead = (id: string) =>
  waitFor('its end', async () => {
    const instance = await fixture.instances.get(id);
    return instance?.state === 'gone' && instance;
  });

test('ends an instance at its deadline, not earlier', async () => {
  const { id, expiresAt } = await fixture.ready({ timeout: 300 });
  const { reason, lastTransitionAt } = await dead(id);
  expect(reason).toBe('ttl');
  expect(lastTransitionAt).toBeGreaterThanOrEqual(expiresAt);
  expect(removed).toEqual([id]);
});

// A job that fires early, or after a renewal, delays itself. If that used an attempt, an instance
// with many renewals would never be killed.
test('a job of a renewed lease waits for the new deadline without using an attempt', async () => {
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

test('a renewed instance lives until its new deadline, whatever the due time of its job', async () => {
  const { id } = await fixture.ready({ timeout: 400 });
  const renewed = await fixture.leases.renew(id, { timeout: 1_200, shorten: false });
  if (renewed.kind !== 'renewed') throw new Error(renewed.kind);
  const { lastTransitionAt } = await dead(id);
  expect(lastTransitionAt).toBeGreaterThanOrEqual(renewed.instance.expiresAt);
});

// A clock that is set back by an hour delays a waiting job by an hour.
test('reconciliation ends an instance whose job is not due by the wall clock', async () => {
  const { id, expiresAt } = await fixture.ready({ timeout: 300 }, -3_600_000);
  await waitFor('the deadline', async () => (await fixture.instances.now()) > expiresAt);
  expect((await fixture.instances.get(id))?.state).toBe('ready');
  const { instances, containers, kills: killJobs, spawns, onKilled } = fixture;
  const ports = { instances, containers, killJobs, spawns, onKilled };
  const onRepair = () => undefined;
  await reconcile({ ...ports, host: HOST, onRepair, onError: onRepair });
  const { reason } = await dead(id);
  expect(reason).toBe('ttl');
  expect(await fixture.killJobs.getDelayedCount()).toBe(0);
});

// With 200 deadlines at the same time, an instance must not stay reachable while its removal waits
// for the daemon.
test('the route is removed while the removal of the container waits', async () => {
  await worker.stop();
  const { instances, containers, kills: killJobs, options } = fixture;
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  let max = 0;
  let now = 0;
  const slow = {
    ...containers,
    async removeInstance(id: string, grace: number) {
      max = Math.max(max, ++now);
      await held;
      now--;
      await containers.removeInstance(id, grace);
    },
  };
  const limit = 4;
  const limitedContainers = withRemovalLimit(slow, limit);
  worker = startKillWorker({ instances, containers: limitedContainers, killJobs }, HOST, options);
  const made = [];
  for (let i = 0; i < limit + 3; i++) {
    made.push(await fixture.ready({ timeout: 1_000 }));
  }
  for (const { id } of made) {
    await waitFor(
      'the removal of the route',
      async () => (await instances.get(id))?.state === 'draining',
    );
  }
  expect(max).toBe(limit);
  release();
  for (const { id } of made) await dead(id);
  expect(max).toBe(limit);
});

test('immediately finishes an end that another process started', async () => {
  const { id } = await fixture.ready({ timeout: 60_000 });
  const outcome = await fixture.instances.startDraining(id, 'request');
  if (outcome.kind !== 'draining') throw new Error(outcome.kind);
  await fixture.killRequests.enqueueNow(outcome.instance);
  expect(await dead(id)).toMatchObject({ reason: 'request' });
  expect(removed).toEqual([id]);
  expect(await fixture.killJobs.getDelayedCount()).toBe(0);
});

test('a job for a removed instance does nothing', async () => {
  const { id, generation, host } = await fixture.ready({ timeout: 60_000 });
  const outcome = await fixture.instances.startDraining(id, 'request');
  if (outcome.kind !== 'draining') throw new Error(outcome.kind);
  await fixture.instances.finalize(id, outcome.instance.generation);
  await fixture.kills.cancel({ id, supersedes: generation, host });
  await fixture.kills.schedule({ id, generation, host }, 0);
  const job = await waitFor('the job to be done', async () => {
    const found = await fixture.killJobs.getJob(`${id}-${generation}`);
    return (await found?.isCompleted()) && found;
  });
  expect(job.returnvalue).toEqual({ kind: 'absent' });
  expect(removed).toEqual([]);
});

test('a failed removal is retried until it succeeds', async () => {
  await worker.stop();
  const { instances, containers, kills: killJobs, options } = fixture;
  let tries = 0;
  const stubborn = {
    ...containers,
    async removeInstance(id: string, grace: number) {
      if (++tries < 3) throw new Error('the daemon is away');
      await containers.removeInstance(id, grace);
    },
  };
  worker = startKillWorker({ instances, containers: stubborn, killJobs }, HOST, options);
  const { id } = await fixture.ready({ timeout: 100 });
  expect(await dead(id)).toMatchObject({ reason: 'ttl' });
  expect(tries).toBe(3);
});

// The worker stops during a long stop grace, or while a call to the daemon hangs.
test('a kill that does not finish before its worker stops is requeued and finished by another', async () => {
  await worker.stop();
  const { instances, containers, kills: killJobs, options } = fixture;
  const hung = { ...containers, removeInstance: () => new Promise<void>(() => undefined) };
  const at = { ...options, finishTimeoutMs: 50 };
  const stopped = startKillWorker({ instances, containers: hung, killJobs }, HOST, at);
  const { id, generation } = await fixture.ready({ timeout: 100 });
  await waitFor('its end', async () => (await instances.get(id))?.state === 'draining');
  await stopped.stop();
  const job = await fixture.killJobs.getJob(`${id}-${generation}`);
  expect(await job?.getState()).toMatch(/delayed|waiting/);
  worker = startKillWorker({ instances, containers, killJobs }, HOST, options);
  expect(await dead(id)).toMatchObject({ reason: 'ttl' });
  expect(await fixture.killJobs.getJob(`${id}-${generation}`)).toMatchObject({ stalledCounter: 0 });
});

test('counts kills by reason', async () => {
  const text = await fixture.registry.metrics();
  expect(text).toMatch(/ephemera_kills_total\{reason="ttl",app="worker"\} [1-9]/);
  expect(text).toMatch(/ephemera_kill_lateness_seconds_count\{app="worker"\} [1-9]/);
});
