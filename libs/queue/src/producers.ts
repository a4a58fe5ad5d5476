import type { InstanceEvent } from '@ephemera/domain';
import type { KillRequests, KillJobs, Spawns } from '@ephemera/lifecycle';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import {
  KILL_OPTIONS,
  POOL_SPAWN_PRIORITY,
  SPAWN_OPTIONS,
  jobId,
  readJobId,
  SPAWN_QUEUE,
  killQueue,
  WEBHOOK_OPTIONS,
  WEBHOOK_QUEUE,
} from './jobs.ts';
import type { KillJob, SpawnJob } from './jobs.ts';

export interface Producers {
  readonly spawns: Spawns;
  readonly killJobs: KillJobs;
  readonly killRequests: KillRequests;
  close(): Promise<void>;
}

/**
 * Adds jobs to the queues. `prefix` is the store's `queuePrefix`. `now` is the clock that delays
 * count from. A worker compares a delayed job with its own clock, so workers pass their own clock
 * and all other processes pass the Redis clock.
 */
export function createProducers(
  connection: Redis,
  prefix: string,
  now: () => number = Date.now,
): Producers {
  const queues = new Map<string, Queue>();
  const queue = (name: string): Queue => {
    let found = queues.get(name);
    if (!found) {
      found = new Queue(name, { connection, prefix });
      // The connection already reports its errors; the queue only repeats them.
      found.on('error', () => undefined);
      queues.set(name, found);
    }
    return found;
  };
  const kill = (host: string, job: KillJob, options: { jobId: string; delay: number }) =>
    queue(killQueue(host)).add('kill', job, { ...KILL_OPTIONS, timestamp: now(), ...options });

  const cancelJob = async (
    id: string,
    generation: number | undefined,
    host: string | undefined,
  ) => {
    if (generation === undefined || host === undefined) return;
    const job = await queue(killQueue(host)).getJob(jobId({ id, generation }));
    // A running job is locked. It will find nothing to do.
    if (await job?.isDelayed()) await job?.remove().catch(() => undefined);
  };

  return {
    spawns: {
      async add({ id, generation }, origin) {
        const job: SpawnJob = { id, generation };
        await queue(SPAWN_QUEUE).add('spawn', job, {
          ...SPAWN_OPTIONS,
          ...(origin !== undefined && POOL_SPAWN_PRIORITY),
          jobId: jobId(job),
        });
      },
    },
    killJobs: {
      async schedule({ id, generation, host }, delay) {
        if (host === undefined) throw new Error(`instance ${id} has no host yet`);
        const dueAt = new Date(now() + delay).toISOString();
        const job: KillJob = { id, generation, dueAt };
        await kill(host, job, { jobId: jobId(job), delay });
      },
      async listDelayed(host) {
        const ids = await queue(killQueue(host)).getRanges(['delayed'], 0, -1);
        return ids.map(readJobId);
      },
      cancel: ({ id, supersedes, host }) => cancelJob(id, supersedes, host),
    },
    killRequests: {
      async enqueueNow({ id, generation, supersedes, host }) {
        if (host === undefined) throw new Error(`instance ${id} has no host`);
        const job: KillJob = { id, generation, dueAt: new Date(now()).toISOString() };
        await kill(host, job, { jobId: jobId(job), delay: 0 });
        await cancelJob(id, supersedes, host);
      },
    },
    async close() {
      await Promise.all([...queues.values()].map((item) => item.close()));
    },
  };
}

/**
 * One event for one webhook. The job names the webhook, so that URL and secret stay out of Redis.
 */
export interface WebhookJob {
  readonly webhook: string;
  readonly event: InstanceEvent;
}

export interface Deliveries {
  /** Adds deliveries. An existing job is unchanged. */
  add(jobs: readonly WebhookJob[]): Promise<void>;
  close(): Promise<void>;
}

export function createDeliveries(connection: Redis, prefix: string): Deliveries {
  const queue = new Queue(WEBHOOK_QUEUE, { connection, prefix });
  // The connection already reports its errors; the queue only repeats them.
  queue.on('error', () => undefined);
  return {
    async add(jobs) {
      if (jobs.length === 0) return;
      await queue.addBulk(
        jobs.map((data) => ({
          name: 'deliver',
          data,
          opts: { ...WEBHOOK_OPTIONS, jobId: `${data.webhook}-${data.event.seq}` },
        })),
      );
    },
    close: () => queue.close(),
  };
}
