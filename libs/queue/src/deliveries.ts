import type { InstanceEvent } from '@ephemera/domain';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { WEBHOOK_OPTIONS } from './jobs.ts';
import { WEBHOOK_QUEUE } from './queue-names.ts';

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
