import type { JobsOptions } from 'bullmq';

export interface SpawnJob {
  readonly id: string;
  readonly generation: number;
}

export interface KillJob {
  readonly id: string;
  readonly generation: number;
  /** When it was meant to fire, RFC 3339: for people who look at the queue. */
  readonly dueAt: string;
}

/** Fills the pool of a template, or all where none is named. */
export interface RefillJob {
  readonly template?: string;
}

/** Begins a time of more warm instances; durations in milliseconds. */
export interface ScheduledMinimumJob {
  readonly template: string;
  /** Which entry of the template's schedule it is. */
  readonly entry: number;
  readonly ready: number;
  readonly for: number;
}

/** Finished jobs stay for an hour, for people to look at; their ids carry a generation. */
const RETENTION = {
  removeOnComplete: { age: 3600, count: 5000 },
  removeOnFail: { age: 86_400, count: 5000 },
};

/**
 * Tried until it succeeds, and at short intervals however long it has failed: who waits for it is to
 * have it soon after the daemon is back.
 */
const UNTIL_DONE = {
  ...RETENTION,
  attempts: 1000,
  stackTraceLimit: 3,
  backoff: { type: 'fixed', delay: 1000, jitter: 0.5 },
};

/** An instance whose start deadline has passed is ended, and its spawn then finds nothing to do. */
export const SPAWN_OPTIONS: JobsOptions = UNTIL_DONE;

/** Whoever waits in person goes before whoever is expected. */
export const POOL_SPAWN_PRIORITY = { priority: 10 };

/** The next one comes by itself, so one that failed is not tried again, and few are kept. */
export const REFILL_OPTIONS: JobsOptions = {
  removeOnComplete: { age: 600, count: 100 },
  removeOnFail: { age: 3600, count: 100 },
};

/** Reconciliation stands behind it. */
export const KILL_OPTIONS: JobsOptions = UNTIL_DONE;

/**
 * A delivery is tried fifteen times within a day: after 5 s, and then after twice as long each
 * time, a quarter less at most, so that a receiver that comes back is not met by all at once.
 */
export const WEBHOOK_OPTIONS: JobsOptions = {
  ...RETENTION,
  removeOnFail: { age: 259_200, count: 5000 },
  attempts: 15,
  backoff: { type: 'exponential', delay: 5_000, jitter: 0.25 },
};

/** A worker that dies is noticed in seconds, and as often as it dies. */
export const WORKER_OPTIONS = {
  lockDuration: 5_000,
  stalledInterval: 2_000,
  maxStalledCount: 1000,
  drainDelay: 5,
};

/** The id of the job for one generation of an instance: adding it twice is adding it once. */
export function jobId({ id, generation }: { id: string; generation: number }): string {
  return `${id}-${generation}`;
}

export function readJobId(text: string): { id: string; generation: number } {
  const end = text.lastIndexOf('-');
  return { id: text.slice(0, end), generation: Number(text.slice(end + 1)) };
}
