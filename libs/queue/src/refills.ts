import { Queue } from 'bullmq';
import type { PoolSchedule, Template } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import { REFILL_OPTIONS } from './jobs.ts';
import type { ScheduledMinimumJob, RefillJob } from './jobs.ts';
import { REFILL_QUEUE } from './queue-names.ts';

/** The jobs that keep pools filled. */
export interface Refills {
  /** Asks for the pool of one template to be filled up, in a moment. */
  request(template: string): Promise<void>;
  /** Has all pools looked after every `ms`, whatever was asked for or missed. */
  every(ms: number): Promise<void>;
  /** Has the schedules of these templates carried out, and no others. */
  schedule(templates: readonly Pick<Template, 'name' | 'schedule'>[]): Promise<void>;
  close(): Promise<void>;
}

/** A visitor who just got a warm one has the machine to himself for his first requests, ms. */
const SCHEDULE_LEAD_MS = 200;

/** The scheduler that looks after all pools. */
const TICK = 'tick';

/** `now` is the clock that delays count from, as in `createProducers`. */
export function createRefills(
  connection: Redis,
  prefix: string,
  now: () => number = Date.now,
): Refills {
  const queue = new Queue<RefillJob | ScheduledMinimumJob>(REFILL_QUEUE, { connection, prefix });
  // The connection reports its own faults; a queue only repeats them.
  queue.on('error', () => undefined);
  return {
    async request(template) {
      await queue.add(
        'refill',
        { template },
        {
          ...REFILL_OPTIONS,
          timestamp: now(),
          delay: SCHEDULE_LEAD_MS,
        },
      );
    },
    async every(ms) {
      const job = { name: 'refill', data: {}, opts: REFILL_OPTIONS };
      await queue.upsertJobScheduler(TICK, { every: ms }, job);
    },
    async schedule(templates) {
      const wanted = new Map<string, { job: ScheduledMinimumJob; entry: PoolSchedule }>();
      for (const { name, schedule } of templates) {
        for (const [i, entry] of schedule.entries()) {
          const job = { template: name, entry: i, ready: entry.ready, for: entry.for };
          wanted.set(`boost-${name}-${i}`, { job, entry });
        }
      }
      for (const { key } of await queue.getJobSchedulers()) {
        if (key !== TICK && !wanted.has(key)) await queue.removeJobScheduler(key);
      }
      for (const [key, { job, entry }] of wanted) {
        const when = { pattern: entry.cron, tz: entry.tz };
        await queue.upsertJobScheduler(key, when, {
          name: 'boost',
          data: job,
          opts: REFILL_OPTIONS,
        });
      }
    },
    close: () => queue.close(),
  };
}
