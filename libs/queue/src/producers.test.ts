import type { InstanceEvent } from '@ephemera/domain';
import { startRedis, waitFor } from '@ephemera/test-support';
import type { StartedRedis } from '@ephemera/test-support';
import { DelayedError, Queue, Worker } from 'bullmq';
import type { Job } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createDeliveries, createProducers } from './producers.ts';
import { SPAWN_QUEUE, WEBHOOK_OPTIONS, WEBHOOK_QUEUE, killQueue } from './jobs.ts';

let server: StartedRedis;
let opened = 0;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());

function open(now?: () => number) {
  const connection = new Redis(server.url, { maxRetriesPerRequest: null });
  const prefix = `{queue-${++opened}}`;
  const producers = createProducers(connection, prefix, now);
  const queues: Queue[] = [];
  const queue = (name: string) => {
    const found = new Queue(name, { connection, prefix });
    queues.push(found);
    return found;
  };
  onTestFinished(async () => {
    await producers.close();
    await Promise.all(queues.map((item) => item.close()));
    await connection.quit();
  });
  return {
    ...producers,
    connection,
    prefix,
    spawnQueue: queue(SPAWN_QUEUE),
    killsOf: (host: string) => queue(killQueue(host)),
  };
}

const instance = { id: 'a', generation: 3, host: 'h', supersedes: undefined };

function dueIn(job: Job | undefined): number {
  return (job?.timestamp ?? 0) + (job?.delay ?? 0) - Date.now();
}

test('a spawn that is added twice is one job', async () => {
  const { spawns, spawnQueue } = open();
  await Promise.all([spawns.add(instance), spawns.add(instance)]);
  await spawns.add(instance);
  expect(await spawnQueue.getJobCounts('waiting', 'prioritized', 'delayed')).toMatchObject({
    waiting: 1,
    delayed: 0,
  });
  const [job] = await spawnQueue.getJobs();
  expect(job).toMatchObject({ id: 'a-3', data: { id: 'a', generation: 3 } });
});

test('lists the delayed kill jobs of a host', async () => {
  const { killJobs } = open();
  await killJobs.schedule({ ...instance, id: 'b-c' }, 60_000);
  await killJobs.schedule({ ...instance, generation: 17_957_388_056_552 }, 30_000);
  await killJobs.schedule({ ...instance, id: 'due' }, 0);
  await killJobs.schedule({ ...instance, host: 'other' }, 60_000);
  const waiting = await killJobs.listDelayed('h');
  expect(new Set(waiting)).toEqual(
    new Set([
      { id: 'a', generation: 17_957_388_056_552 },
      { id: 'b-c', generation: 3 },
    ]),
  );
});

test('a kill that is scheduled twice is one job with the first due time', async () => {
  const { killJobs, killsOf } = open();
  await killJobs.schedule(instance, 60_000);
  await Promise.all([killJobs.schedule(instance, 10), killJobs.schedule(instance, 90_000)]);
  const jobs = await killsOf('h').getJobs();
  expect(jobs).toHaveLength(1);
  expect(jobs[0]).toMatchObject({ id: 'a-3', name: 'kill', data: { id: 'a', generation: 3 } });
  expect(dueIn(jobs[0])).toBeGreaterThan(50_000);
  expect(dueIn(jobs[0])).toBeLessThanOrEqual(60_000);
  const { dueAt } = jobs[0]?.data as { dueAt: string };
  expect(Math.abs(Date.parse(dueAt) - Date.now() - 60_000)).toBeLessThan(10_000);
});

test('kill jobs are separate for each host and each generation', async () => {
  const { killJobs, killsOf } = open();
  await killJobs.schedule(instance, 60_000);
  await killJobs.schedule({ ...instance, generation: 4 }, 60_000);
  await killJobs.schedule({ ...instance, host: 'other' }, 60_000);
  expect(await killsOf('h').getDelayedCount()).toBe(2);
  expect(await killsOf('other').getDelayedCount()).toBe(1);
});

test('a kill job for an instance without a host is an error', async () => {
  const { killJobs, killRequests } = open();
  const homeless = { ...instance, host: undefined };
  await expect(killJobs.schedule(homeless, 1)).rejects.toThrow('no host');
  await expect(killRequests.enqueueNow(homeless)).rejects.toThrow('no host');
  await killJobs.cancel({ ...homeless, supersedes: 3 });
});

test('cancel removes only the delayed job of the superseded generation', async () => {
  const { killJobs, killsOf } = open();
  await killJobs.schedule(instance, 60_000);
  await killJobs.schedule({ ...instance, generation: 4 }, 60_000);
  const after = { ...instance, generation: 4, supersedes: 3 };
  await killJobs.cancel(after);
  await Promise.all([killJobs.cancel(after), killJobs.cancel(after)]);
  await killJobs.cancel({ ...after, id: 'nobody' });
  expect((await killsOf('h').getJobs()).map(({ id }) => id)).toEqual(['a-4']);
});

test('a cancelled kill job can be scheduled again', async () => {
  const { killJobs, killsOf } = open();
  await killJobs.schedule(instance, 60_000);
  await killJobs.cancel({ ...instance, supersedes: 3 });
  await killJobs.schedule(instance, 5_000);
  const [job] = await killsOf('h').getJobs();
  expect(dueIn(job)).toBeLessThanOrEqual(5_000);
});

test('enqueueNow replaces the delayed job by one that is due now', async () => {
  const { killJobs, killRequests, killsOf } = open();
  await killJobs.schedule(instance, 60_000);
  const draining = { ...instance, generation: 4, supersedes: 3 };
  await Promise.all([killRequests.enqueueNow(draining), killRequests.enqueueNow(draining)]);
  const queue = killsOf('h');
  expect(await queue.getDelayedCount()).toBe(0);
  expect((await queue.getWaiting()).map(({ id }) => id)).toEqual(['a-4']);
});

// A worker compares a delayed job with its own clock. The process that adds the job may have
// another clock.
test('a delay counts from the given clock', async () => {
  const { killJobs, killsOf } = open(() => Date.now() - 3_600_000);
  await killJobs.schedule(instance, 3_600_000 + 60_000);
  const [job] = await killsOf('h').getJobs();
  expect(dueIn(job)).toBeGreaterThan(50_000);
  expect(dueIn(job)).toBeLessThanOrEqual(60_000);
});

test('every key of the queues has the prefix of the deployment', async () => {
  const { killJobs, spawns, connection, prefix } = open();
  const before = new Set(await connection.keys('*'));
  await killJobs.schedule(instance, 60_000);
  await spawns.add(instance);
  const made = (await connection.keys('*')).filter((key) => !before.has(key));
  expect(made.length).toBeGreaterThan(0);
  for (const key of made) expect(key.startsWith(`${prefix}:`)).toBe(true);
});

test('the queue of deliveries is bounded, and each webhook keeps its share', async () => {
  const { connection, prefix } = open();
  const deliveries = createDeliveries(connection, prefix, 100);
  onTestFinished(() => deliveries.close());
  const event = (n: number) =>
    ({
      seq: `1767225600000-${n}`,
      type: 'ready',
      id: 'a',
      metadata: {},
    }) as unknown as InstanceEvent;
  const jobs = (webhook: string, from: number, count: number) =>
    Array.from({ length: count }, (_, i) => ({ webhook, event: event(from + i) }));
  expect(await deliveries.add(jobs('down-1', 0, 60))).toEqual({ dropped: [], isNearlyFull: false });
  expect((await deliveries.add(jobs('down-1', 60, 30))).isNearlyFull).toBe(true);
  let dropped = 0;
  for (let i = 0; i < 20; i++) {
    dropped += (await deliveries.add(jobs('down-1', 100 + i * 50, 50))).dropped.length;
  }
  expect(dropped).toBe(1_000 - 10);
  // Another webhook gets its own share.
  const other = await deliveries.add(jobs('fine', 5_000, 60));
  expect(other.dropped).toHaveLength(10);
  expect(await deliveries.waiting()).toBe(150);
});

// docs/SECURITY.md has the bound.
test('a delivery of the largest event stays below 16 KiB, also after all of its attempts', async () => {
  const { connection, prefix } = open();
  const deliveries = createDeliveries(connection, prefix);
  onTestFinished(() => deliveries.close());
  const event = {
    ...{ seq: '1767225600000-0', type: 'failed', time: 1_767_225_600_000, state: 'failed' },
    ...{ id: 'a'.repeat(26), template: 't'.repeat(41), reason: 'start_failed', generation: 1 },
    expiresAt: 1_767_225_600_000,
    metadata: { owner: 'x'.repeat(1_024), course: 'y'.repeat(980) },
    // The longest message of a failed start: 2,000 characters of three bytes.
    message: '€'.repeat(2_000),
  } as unknown as InstanceEvent;
  await deliveries.add([{ webhook: 'w'.repeat(41), event }]);
  let attempts = 0;
  const worker = new Worker(
    WEBHOOK_QUEUE,
    () => {
      attempts++;
      return Promise.reject(new Error(`https://${'h'.repeat(200)} answered 500`));
    },
    { connection, prefix, settings: { backoffStrategy: () => 0 } },
  );
  onTestFinished(() => worker.close());
  const [key = ''] = (await connection.keys(`${prefix}:webhook:w*`)).filter((name) =>
    /-\d+-0$/.test(name),
  );
  await connection.hset(
    key,
    'opts',
    JSON.stringify({ ...WEBHOOK_OPTIONS, backoff: { type: 'now' } }),
  );
  await expect.poll(() => attempts, { timeout: 30_000 }).toBe(WEBHOOK_OPTIONS.attempts);
  await expect.poll(() => connection.hexists(key, 'finishedOn')).toBe(1);
  const size = (await connection.memory('USAGE', key, 'SAMPLES', 0)) ?? 0;
  process.stdout.write(`a delivery: ${size} bytes\n`);
  expect(size).toBeLessThan(16 * 1_024);
});

test('the age of a waiting job counts from its due time, not from its creation', async () => {
  const now = Date.now();
  // Added an hour ago, due now.
  const { killJobs, depths, connection, prefix } = open(() => now - 3_600_000);
  for (const id of ['a', 'b']) await killJobs.schedule({ ...instance, id }, 3_600_000);
  // A worker that fetches a job makes all due jobs waiting ones. This one keeps the first job.
  const { promise: held, resolve: release } = Promise.withResolvers<undefined>();
  const blocking = connection.duplicate();
  const worker = new Worker(killQueue('h'), () => held, { connection: blocking, prefix });
  onTestFinished(async () => {
    release(undefined);
    await worker.close();
    blocking.disconnect();
  });
  const { oldestAt } = await waitFor('a job that waits behind another one', async () => {
    const found = (await depths('h')).find(({ queue }) => queue === killQueue('h'));
    return found?.jobs.active === 1 && found.jobs.waiting === 1 && found;
  });
  expect(oldestAt).toBe(now);
});

test('the kill job of an instance has the time at which it runs, also after it delayed itself', async () => {
  const { killJobs, killJobOf, killsOf, connection, prefix } = open();
  expect(await killJobOf(instance)).toBeUndefined();
  expect(await killJobOf({ ...instance, host: undefined })).toBeUndefined();
  const before = Date.now();
  await killJobs.schedule(instance, 60_000);
  const found = await killJobOf(instance);
  expect(found).toMatchObject({
    ...{ queue: 'instance-kill-h', jobId: 'a-3', state: 'delayed', attempts: 0 },
    error: undefined,
  });
  expect(found?.runsAt).toBeGreaterThanOrEqual(before + 60_000);
  expect(found?.runsAt).toBeLessThanOrEqual(Date.now() + 60_000);
  // A later generation has no job of its own until its end: the job of the one before counts.
  expect(await killJobOf({ ...instance, generation: 4, supersedes: 3 })).toEqual(found);

  // A renewed lease: the job runs, and delays itself to the new deadline.
  const due = Date.now() + 7_200_000;
  const worker = new Worker(
    'instance-kill-h',
    async (job, token) => {
      await job.moveToDelayed(due, token);
      throw new DelayedError();
    },
    { connection: connection.duplicate({ maxRetriesPerRequest: null }), prefix },
  );
  await (await killsOf('h').getJob('a-3'))?.promote();
  await waitFor('the new delay', async () => (await killJobOf(instance))?.runsAt === due);
  await worker.close();
});
