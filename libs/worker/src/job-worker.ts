import { WORKER_OPTIONS } from '@ephemera/queue';
import type { Logger } from '@ephemera/process';
import { Worker } from 'bullmq';
import type { Processor } from 'bullmq';
import type { Redis } from 'ioredis';

export interface JobWorkerOptions {
  readonly connection: Redis;
  /** The store's `queuePrefix`. */
  readonly prefix: string;
  /** Maximum number of concurrent jobs. Absent: BullMQ's default of 1. */
  readonly concurrency?: number;
  readonly logger: Logger;
}

/**
 * Starts the BullMQ worker of one queue with the common options, and logs its errors. `process` may
 * run twice for one job, also concurrently: a lock can expire while its worker is alive.
 */
export function startJobWorker<Data, Result>(
  queue: string,
  process: Processor<Data, Result>,
  { logger, ...options }: JobWorkerOptions,
): Worker<Data, Result> {
  const worker = new Worker<Data, Result>(queue, process, { ...WORKER_OPTIONS, ...options });
  // Without a listener, an `error` event would end the process.
  worker.on('error', (error) => logger.warn({ err: error }, 'queue error'));
  worker.on('failed', (job, error) => {
    const { id, generation } = (job?.data ?? {}) as { id?: string; generation?: number };
    logger.warn({ err: error, id, generation, queue: worker.name }, 'job attempt failed');
  });
  return worker;
}
