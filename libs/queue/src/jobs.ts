import type { JobsOptions } from 'bullmq';

export interface SpawnJob {
  readonly id: string;
  readonly generation: number;
  /** The span that added the job, as in W3C Trace Context, where traces are recorded. */
  readonly traceparent?: string;
}

export interface KillJob {
  readonly id: string;
  readonly generation: number;
  /** Planned run time, RFC 3339. For people who inspect the queue. */
  readonly dueAt: string;
  /** As that of a spawn job. */
  readonly traceparent?: string;
}

/** Refills the pool of one template, or all pools if no template is named. */
export interface RefillJob {
  readonly template?: string;
}

/** Sets the minimum pool size for one period of a schedule. Durations are milliseconds. */
export interface ScheduledMinimumJob {
  readonly template: string;
  /** Index of the entry in the template's schedule. */
  readonly entry: number;
  readonly ready: number;
  readonly for: number;
}

/**
 * Finished jobs are kept for inspection. Their ids contain a generation, so they block no new job.
 */
const RETENTION = {
  removeOnComplete: { age: 3600, count: 5000 },
  removeOnFail: { age: 86_400, count: 5000 },
};

/**
 * Retries practically without end at a fixed interval, so that the job runs soon after the daemon
 * is available again.
 */
const UNTIL_DONE = {
  ...RETENTION,
  attempts: 1000,
  stackTraceLimit: 3,
  backoff: { type: 'fixed', delay: 1000, jitter: 0.5 },
};

/**
 * Retries stop at the start deadline: the instance is then ended, and the spawn finds nothing to
 * do.
 */
export const SPAWN_OPTIONS: JobsOptions = UNTIL_DONE;

/**
 * The larger number is the lower priority: instances that clients wait for start before pool
 * instances.
 */
export const POOL_SPAWN_PRIORITY = { priority: 10 };

/** No retries: the next periodic job refills the pool. Few finished jobs are kept. */
export const REFILL_OPTIONS: JobsOptions = {
  removeOnComplete: { age: 600, count: 100 },
  removeOnFail: { age: 3600, count: 100 },
};

/** If all retries fail, reconciliation ends the instance. */
export const KILL_OPTIONS: JobsOptions = UNTIL_DONE;

/**
 * A delivery is tried fifteen times within a day. The first retry follows after 5 s, and each delay
 * doubles. The jitter of a quarter spreads the retries of a receiver that recovers.
 */
export const WEBHOOK_OPTIONS: JobsOptions = {
  removeOnComplete: { age: 3600, count: 500 },
  removeOnFail: { age: 259_200, count: 1000 },
  attempts: 15,
  // Fifteen of them would be larger than the event.
  stackTraceLimit: 1,
  backoff: { type: 'exponential', delay: 5_000, jitter: 0.25 },
};

/**
 * How many deliveries may wait for a first attempt or a retry. A receiver that is down for a day would
 * otherwise fill Redis. Once the queue is full, each webhook keeps an equal share.
 */
export const MAX_WAITING_DELIVERIES = 10_000;

/**
 * Jobs of a dead worker are taken over within seconds, with no practical limit on the number of
 * deaths.
 */
export const WORKER_OPTIONS = {
  lockDuration: 5_000,
  stalledInterval: 2_000,
  maxStalledCount: 1000,
  drainDelay: 5,
};

/** The job id of one generation of an instance. Adding the job twice has no further effect. */
export function jobId({ id, generation }: { id: string; generation: number }): string {
  return `${id}-${generation}`;
}

export function readJobId(text: string): { id: string; generation: number } {
  const end = text.lastIndexOf('-');
  return { id: text.slice(0, end), generation: Number(text.slice(end + 1)) };
}

/** The queue of spawn jobs, served by every worker. */
export const SPAWN_QUEUE = 'instance-spawn';

/** The queue of pool refill jobs, served by every worker. */
export const REFILL_QUEUE = 'pool-refill';

/** The queue of webhook deliveries, served by every worker that has webhooks configured. */
export const WEBHOOK_QUEUE = 'webhook';

/**
 * The queue of the kill jobs of one host. Only workers of that host can reach its Docker daemon.
 */
export function killQueue(host: string): string {
  return `instance-kill-${host}`;
}
