import { Queue } from 'bullmq';
import type { PoolSchedule, Template } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import { REFILL_OPTIONS, REFILL_QUEUE } from './jobs.ts';
import type { ScheduledMinimumJob, RefillJob } from './jobs.ts';

/** Producer of the jobs that refill the pools. */
export interface Refills {
  /** Refills the pool of one template after a short delay. */
  request(template: string): Promise<void>;
  /** Refills all pools every `ms`, which covers lost requests. */
  every(ms: number): Promise<void>;
  /**
   * Replaces the scheduled pool sizes by those of these templates. An entry that fails does not stop
   * the others.
   * @throws AggregateError after all entries, with the error of each that failed
   */
  schedule(templates: readonly Pick<Template, 'name' | 'schedule'>[]): Promise<void>;
  close(): Promise<void>;
}

/**
 * Delay of a refill after a claim, ms. The first requests of the client do not compete with a
 * start.
 */
const REFILL_DELAY_MS = 200;

/** The job scheduler that refills all pools. */
const TICK = 'tick';

/** `now` is the clock that delays count from, as in `createProducers`. */
export function createRefills(
  connection: Redis,
  prefix: string,
  now: () => number = Date.now,
): Refills {
  const queue = new Queue<RefillJob | ScheduledMinimumJob>(REFILL_QUEUE, { connection, prefix });
  // The connection already reports its errors; the queue only repeats them.
  queue.on('error', () => undefined);
  return {
    async request(template) {
      await queue.add(
        'refill',
        { template },
        {
          ...REFILL_OPTIONS,
          timestamp: now(),
          delay: REFILL_DELAY_MS,
        },
      );
    },
    async every(ms) {
      const job = { name: 'refill', data: {}, opts: REFILL_OPTIONS };
      await queue.upsertJobScheduler(TICK, { every: ms }, job);
    },
    async schedule(templates) {
      const desired = new Map<string, { job: ScheduledMinimumJob; entry: PoolSchedule }>();
      for (const { name, schedule } of templates) {
        for (const [i, entry] of schedule.entries()) {
          const job = { template: name, entry: i, ready: entry.ready, for: entry.for };
          desired.set(`boost-${name}-${i}`, { job, entry });
        }
      }
      for (const { key } of await queue.getJobSchedulers()) {
        if (key !== TICK && !desired.has(key)) await queue.removeJobScheduler(key);
      }
      const failures: Error[] = [];
      for (const [key, { job, entry }] of desired) {
        const when = { pattern: entry.cron, tz: entry.tz };
        const spec = { name: 'boost', data: job, opts: REFILL_OPTIONS };
        await queue.upsertJobScheduler(key, when, spec).catch((cause: unknown) => {
          failures.push(new Error(`schedule.${job.entry} of ${job.template}`, { cause }));
        });
      }
      if (failures.length > 0) {
        const names = failures.map(({ message }) => message).join(', ');
        throw new AggregateError(failures, `not scheduled: ${names}`);
      }
    },
    close: () => queue.close(),
  };
}
