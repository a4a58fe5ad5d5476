import { setImmediate as nextAddressIndex } from 'node:timers/promises';
import { sampleDraft, waitFor } from '@ephemera/test-support';
import type { Containers } from '@ephemera/lifecycle';
import { ContainerStartError } from '@ephemera/lifecycle';
import { SPAWN_QUEUE } from '@ephemera/queue';
import { Queue } from 'bullmq';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { HOST } from '../test/docker-fixture.ts';
import { openQueues } from '../test/queue-fixture.ts';
import { startSpawnWorker } from './spawn-worker.ts';
import type { QueueWorker } from './spawn-worker.ts';

let fixture: Awaited<ReturnType<typeof openQueues>>;
let workers: QueueWorker[] = [];
beforeAll(async () => {
  fixture = await openQueues();
});
afterAll(() => fixture.close());
afterEach(async () => {
  await Promise.all(workers.map((worker) => worker.stop()));
  workers = [];
});

function work(containers: Partial<Containers> = {}, finishTimeoutMs?: number): QueueWorker {
  const { instances, kills: killJobs, options } = fixture;
  const addresses = { next: () => Promise.resolve(9) };
  const worker = startSpawnWorker(
    {
      host: HOST,
      instances,
      killJobs,
      addresses,
      containers: { ...fixture.containers, ...containers },
      probe: () => Promise.resolve({ ready: true }),
      pause: () => Promise.resolve(),
    },
    { ...options, ...(finishTimeoutMs === undefined ? {} : { finishTimeoutMs }) },
  );
  workers.push(worker);
  return worker;
}

async function asked() {
  const instance = await fixture.instances.create(sampleDraft());
  await fixture.spawns.add(instance);
  return instance;
}

const inState = (id: string, state: string) =>
  waitFor(`${id} to be ${state}`, async () => {
    const instance = await fixture.instances.get(id);
    return instance?.state === state && instance;
  });

test('starts an instance once, with any number of workers', async () => {
  let starts = 0;
  const start: Containers['start'] = (...args) => {
    starts++;
    return fixture.containers.start(...args);
  };
  work({ start });
  work({ start });
  const instances = await Promise.all(Array.from({ length: 20 }, asked));
  for (const { id } of instances) await inState(id, 'ready');
  expect(starts).toBe(20);
  expect(await fixture.killJobs.getDelayedCount()).toBe(20);
  const text = await fixture.registry.metrics();
  expect(text).toContain('ephemera_spawns_total{outcome="ready",app="worker"} 20');
  expect(text).toContain('ephemera_spawn_seconds_count{app="worker"} 20');
});

// Each start waits for its own image from a registry that has stopped responding.
test('starts that wait for an image do not delay others', async () => {
  const stuck = new Set<string>();
  let release = (): void => undefined;
  const held = new Promise<undefined>((resolve) => (release = () => resolve(undefined)));
  work({
    start: (instance, ...rest) =>
      stuck.has(instance.id) ? held : fixture.containers.start(instance, ...rest),
  });
  for (let i = 0; i < 20; i++) {
    const instance = await fixture.instances.create(sampleDraft());
    stuck.add(instance.id);
    await fixture.spawns.add(instance);
  }
  for (const id of stuck) await inState(id, 'starting');
  await inState((await asked()).id, 'ready');
  release();
});

test('a start that does not finish before its worker stops is requeued and finished by another', async () => {
  let release = (): void => undefined;
  const held = new Promise<undefined>((resolve) => (release = () => resolve(undefined)));
  const stopped = work({ start: () => held }, 50);
  const { id, generation } = await asked();
  await inState(id, 'starting');
  await stopped.stop();
  work();
  await inState(id, 'ready');
  const { connection, prefix } = fixture.options;
  const queue = new Queue(SPAWN_QUEUE, { connection, prefix });
  const job = await queue.getJob(`${id}-${generation}`);
  expect(job).toMatchObject({ stalledCounter: 0 });
  release();
  await queue.close();
});

test('an error in a requeued start does not end the instance that another worker starts', async () => {
  const [lost, held] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
  const stopped = work({ start: () => lost.promise }, 50);
  const { id } = await asked();
  await inState(id, 'starting');
  await stopped.stop();
  let starts = 0;
  work({
    async start(...args) {
      starts++;
      await held.promise;
      return fixture.containers.start(...args);
    },
  });
  await waitFor('another start', () => starts > 0);
  lost.reject(new ContainerStartError('Its container is gone.'));
  await nextAddressIndex();
  // By then, all Redis commands of the failed start have completed.
  await fixture.instances.get(id);
  held.resolve(undefined);
  await inState(id, 'ready');
});

test('a start that finishes soon after its worker stops is not requeued', async () => {
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const stopped = work({
    start: async (...args) => {
      await held;
      return fixture.containers.start(...args);
    },
  });
  const { id } = await asked();
  await inState(id, 'starting');
  const stop = stopped.stop();
  release();
  await stop;
  expect(await fixture.instances.get(id)).toMatchObject({ state: 'ready' });
});

// A worker of another host died during the job, and this host received the job.
test('leaves the job of another host to the workers of that host', async () => {
  const { id, generation } = await asked();
  await fixture.instances.assignToHost(id, generation, 'elsewhere');
  work();
  const { connection, prefix } = fixture.options;
  const queue = new Queue(SPAWN_QUEUE, { connection, prefix });
  const job = await waitFor('the job to wait for another', async () => {
    const found = await queue.getJob(`${id}-${generation}`);
    return (await found?.isDelayed()) && found;
  });
  expect(job.attemptsMade).toBe(0);
  expect(await fixture.instances.get(id)).toMatchObject({ state: 'starting', host: 'elsewhere' });
  await fixture.instances.startDraining(id, 'request');
  await waitFor('the job to be done', () => job.isCompleted());
  await queue.close();
});

test('retries after a temporary error of the daemon', async () => {
  let tries = 0;
  work({
    start(...args) {
      if (++tries < 3) return Promise.reject(new Error('the daemon is away'));
      return fixture.containers.start(...args);
    },
  });
  const { id } = await asked();
  await inState(id, 'ready');
  expect(tries).toBe(3);
});

test('does not retry after a permanent error', async () => {
  let tries = 0;
  work({
    start() {
      tries++;
      return Promise.reject(new ContainerStartError('The image nowhere is not on this host.'));
    },
  });
  const { id, generation } = await asked();
  expect(await inState(id, 'failed')).toMatchObject({
    reason: 'start_failed',
    message: 'The image nowhere is not on this host.',
  });
  const { connection, prefix } = fixture.options;
  const queue = new Queue(SPAWN_QUEUE, { connection, prefix });
  const job = await waitFor('the job to be done', async () => {
    const found = await queue.getJob(`${id}-${generation}`);
    return found?.finishedOn !== undefined && found;
  });
  expect(job.returnvalue).toMatchObject({ kind: 'failed' });
  expect(tries).toBe(1);
  await queue.close();
});
