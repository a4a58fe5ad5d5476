import type { Instance, InstanceEvent } from '@ephemera/domain';
import type { KillRequests, KillJobs, Spawns } from '@ephemera/lifecycle';
import { type Job, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import {
  KILL_OPTIONS,
  POOL_SPAWN_PRIORITY,
  SPAWN_OPTIONS,
  jobId,
  readJobId,
  SPAWN_QUEUE,
  MAX_WAITING_DELIVERIES,
  killQueue,
  WEBHOOK_OPTIONS,
  WEBHOOK_QUEUE,
} from './jobs.ts';
import type { KillJob, SpawnJob } from './jobs.ts';

/** The jobs of one queue that have not ended. */
export interface QueueDepth {
  readonly queue: string;
  /** By state. A kill job is delayed until the deadline of its instance. */
  readonly jobs: Readonly<Record<'waiting' | 'active' | 'delayed' | 'failed', number>>;
  /**
   * Epoch milliseconds since when the oldest waiting job could run: when it was added, plus its delay;
   * undefined if none waits.
   */
  readonly oldestAt: number | undefined;
}

/** The kill job of an instance in the queue of its host. */
export interface KillJobStatus {
  readonly queue: string;
  readonly jobId: string;
  /** BullMQ's state: `delayed`, `waiting`, `active`, `completed`, `failed`, … */
  readonly state: string;
  /** When it runs next, epoch ms; undefined: it is not delayed. */
  readonly runsAt: number | undefined;
  /** Attempts that have ended. */
  readonly attempts: number;
  /** The error of the last attempt. */
  readonly error: string | undefined;
}

/** A delivery to a webhook whose last attempt failed. */
export interface TroubledDelivery {
  readonly jobId: string;
  readonly webhook: string;
  readonly event: InstanceEvent['type'];
  /** The id of the instance. */
  readonly id: string;
  /** Attempts that have ended. */
  readonly attempts: number;
  /** The error of the last attempt. */
  readonly error: string;
  /** Whether it is tried again. After the last attempt it is not. */
  readonly isRetried: boolean;
}

/** The deliveries to all webhooks. */
export interface DeliveryReport {
  readonly jobs: QueueDepth['jobs'];
  /** The next retries, then the latest that were given up. */
  readonly troubled: readonly TroubledDelivery[];
}

export interface Producers {
  readonly spawns: Spawns;
  readonly killJobs: KillJobs;
  readonly killRequests: KillRequests;
  /**
   * The kill job of an instance: of its generation, or else of the one that this generation supersedes.
   * Undefined where there is none, or where it was removed after its end.
   */
  killJobOf(
    instance: Pick<Instance, 'id' | 'generation' | 'supersedes' | 'host'>,
  ): Promise<KillJobStatus | undefined>;
  /** The jobs of the spawn queue and of the kill queue of a host. */
  depths(host: string): Promise<readonly QueueDepth[]>;
  /** @param max how many retries and how many given-up deliveries are read */
  deliveries(max: number): Promise<DeliveryReport>;
  close(): Promise<void>;
}

/**
 * Adds jobs to the queues. `prefix` is the store's `queuePrefix`. `now` is the clock that delays
 * count from. A worker compares a delayed job with its own clock, so workers pass their own clock
 * and all other processes pass the Redis clock.
 *
 * @param traceparent returns the span in which a job is added, where traces are recorded
 */
export function createProducers(
  connection: Redis,
  prefix: string,
  now: () => number = Date.now,
  traceparent: () => string | undefined = () => undefined,
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
  const traced = (): { readonly traceparent?: string } => {
    const value = traceparent();
    return value === undefined ? {} : { traceparent: value };
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
        const job: SpawnJob = { id, generation, ...traced() };
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
        const job: KillJob = { id, generation, dueAt, ...traced() };
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
        const dueAt = new Date(now()).toISOString();
        const job: KillJob = { id, generation, dueAt, ...traced() };
        await kill(host, job, { jobId: jobId(job), delay: 0 });
        await cancelJob(id, supersedes, host);
      },
    },
    async killJobOf({ id, generation, supersedes, host }) {
      if (host === undefined) return undefined;
      const name = killQueue(host);
      for (const candidate of [generation, supersedes]) {
        if (candidate === undefined) continue;
        const job = await queue(name).getJob(jobId({ id, generation: candidate }));
        if (!job) continue;
        const { attemptsMade: attempts, failedReason } = job;
        const state = await job.getState();
        return {
          ...{ queue: name, jobId: job.id ?? '', state, attempts },
          runsAt:
            state === 'delayed'
              ? await delayedUntil(connection, queue(name), job.id ?? '')
              : undefined,
          error: failedReason === '' ? undefined : failedReason,
        };
      }
      return undefined;
    },
    depths: (host) =>
      Promise.all([SPAWN_QUEUE, killQueue(host)].map((name) => depthOf(queue(name)))),
    async deliveries(max) {
      const webhooks = queue(WEBHOOK_QUEUE);
      const [{ jobs }, retried, failed] = await Promise.all([
        depthOf(webhooks),
        webhooks.getJobs(['delayed'], 0, max - 1, true) as Promise<Job<WebhookJob>[]>,
        webhooks.getJobs(['failed'], 0, max - 1) as Promise<Job<WebhookJob>[]>,
      ]);
      const troubled = [
        ...retried.map((job) => troubleOf(job, true)),
        ...failed.map((job) => troubleOf(job, false)),
      ];
      return { jobs, troubled };
    },
    async close() {
      await Promise.all([...queues.values()].map((item) => item.close()));
    },
  };
}

function troubleOf(
  { id: jobId = '', data: { webhook, event }, attemptsMade, failedReason }: Job<WebhookJob>,
  isRetried: boolean,
): TroubledDelivery {
  const { type, id } = event;
  const error = failedReason || 'no reason is recorded';
  return { jobId, webhook, event: type, id, attempts: attemptsMade, error, isRetried };
}

/**
 * When a delayed job runs, epoch ms. BullMQ's sorted set of delayed jobs has it in the upper bits of the
 * score; `delay` of the job counts from the last `moveToDelayed`, not from `timestamp`.
 */
async function delayedUntil(
  connection: Redis,
  queue: Queue,
  id: string,
): Promise<number | undefined> {
  const score = await connection.zscore(queue.toKey('delayed'), id);
  return score === null ? undefined : Math.floor(Number(score) / 0x1000);
}

async function depthOf(queue: Queue): Promise<QueueDepth> {
  const [counts, ...first] = await Promise.all([
    queue.getJobCounts('wait', 'prioritized', 'active', 'delayed', 'failed'),
    queue.getJobs(['wait'], 0, 0, true),
    queue.getJobs(['prioritized'], 0, 0, true),
  ]);
  const added = first.flat().map(({ timestamp, opts }) => timestamp + (opts.delay ?? 0));
  const { wait = 0, prioritized = 0, active = 0, delayed = 0, failed = 0 } = counts;
  const jobs = { waiting: wait + prioritized, active, delayed, failed };
  return { queue: queue.name, jobs, oldestAt: added.length > 0 ? Math.min(...added) : undefined };
}

/**
 * One event for one webhook. The job names the webhook, so that URL and secret stay out of Redis.
 */
export interface WebhookJob {
  readonly webhook: string;
  readonly event: InstanceEvent;
}

/** The result of `Deliveries.add`. */
export interface Queued {
  readonly dropped: readonly WebhookJob[];
  /** Whether more than four fifths of the queue are in use. */
  readonly isNearlyFull: boolean;
}

export interface Deliveries {
  /**
   * Adds deliveries. An existing job is unchanged. Once the queue is full, deliveries of a webhook that
   * has its share of the queue are dropped.
   */
  add(jobs: readonly WebhookJob[]): Promise<Queued>;
  /** The number of deliveries that wait for a first attempt or a retry, of all webhooks. */
  waiting(): Promise<number>;
  close(): Promise<void>;
}

/** The states of a delivery that has not ended. */
const WAITING = ['wait', 'delayed', 'active', 'prioritized'] as const;

/** @param max of waiting deliveries */
export function createDeliveries(
  connection: Redis,
  prefix: string,
  max = MAX_WAITING_DELIVERIES,
): Deliveries {
  const queue = new Queue(WEBHOOK_QUEUE, { connection, prefix });
  // The connection already reports its errors; the queue only repeats them.
  queue.on('error', () => undefined);

  /** Separates the jobs of webhooks that exceed their share of the queue. */
  const withinShare = async (jobs: readonly WebhookJob[]) => {
    const waiting = new Map<string, number>();
    for (const id of await queue.getRanges([...WAITING], 0, -1)) {
      const webhook = webhookOf(id);
      waiting.set(webhook, (waiting.get(webhook) ?? 0) + 1);
    }
    const share = max / new Set([...waiting.keys(), ...jobs.map(({ webhook }) => webhook)]).size;
    return Object.groupBy(jobs, ({ webhook }) => {
      const count = waiting.get(webhook) ?? 0;
      waiting.set(webhook, count + 1);
      return count < share ? 'accepted' : 'dropped';
    });
  };

  return {
    async add(jobs) {
      if (jobs.length === 0) return { dropped: [], isNearlyFull: false };
      const waiting = (await queue.getJobCountByTypes(...WAITING)) + jobs.length;
      const { accepted = [], dropped = [] } =
        waiting <= max ? { accepted: jobs } : await withinShare(jobs);
      await queue.addBulk(
        accepted.map((data) => ({
          name: 'deliver',
          data,
          opts: { ...WEBHOOK_OPTIONS, jobId: `${data.webhook}-${data.event.seq}` },
        })),
      );
      return { dropped, isNearlyFull: waiting > 0.8 * max };
    },
    waiting: () => queue.getJobCountByTypes(...WAITING),
    close: () => queue.close(),
  };
}

/** The webhook of a job id, which ends with the position of the event: `<webhook>-<ms>-<n>`. */
function webhookOf(id: string): string {
  return id.split('-').slice(0, -2).join('-');
}
