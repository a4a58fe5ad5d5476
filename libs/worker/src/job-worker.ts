import type { Logger } from '@ephemera/process';
import { WORKER_OPTIONS } from '@ephemera/queue';
import { Worker, DelayedError } from 'bullmq';
import type { Processor, Job } from 'bullmq';
import type { Redis } from 'ioredis';
import { FINISH_TIMEOUT_MS } from './limits.ts';

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
  worker.on('error', (error) => logger.warn({ err: error, queue: worker.name }, 'queue error'));
  worker.on('failed', (job, error) => {
    const { id, generation } = (job?.data ?? {}) as { id?: string; generation?: number };
    logger.warn({ err: error, id, generation, queue: worker.name }, 'job attempt failed');
  });
  return worker;
}

/**
 * Requeues jobs that do not finish before their worker stops, so that another worker takes them.
 */
export interface ShutdownRequeue {
  /**
   * Runs the work of a job, or requeues the job without using an attempt.
   * @param work gets a function that tells whether its job was requeued
   */
  runOrRequeue<T>(
    job: Job,
    token: string | undefined,
    work: (wasRequeued: () => boolean) => Promise<T>,
  ): Promise<T>;
  /** Closes the worker after its jobs have finished or were requeued. */
  stop(worker: Worker): Promise<void>;
}

/**
 * A requeued job's work continues until the process exits. For the next worker, this is the same as
 * a job of a killed worker.
 */
export function requeueOnShutdown(
  logger: Logger,
  finishTimeoutMs = FINISH_TIMEOUT_MS,
): ShutdownRequeue {
  const inFlight = new Set<() => void>();
  let hasTimedOut = false;
  return {
    async runOrRequeue(job, token, work) {
      let wasRequeued = false;
      const { promise: timedOut, resolve } = Promise.withResolvers<'timeout'>();
      const requeue = (): void => {
        wasRequeued = true;
        resolve('timeout');
      };
      inFlight.add(requeue);
      if (hasTimedOut) requeue();
      try {
        const ended = work(() => wasRequeued).then((value) => ({ value }));
        const outcome = await Promise.race([ended, timedOut]);
        if (outcome !== 'timeout') return outcome.value;
      } finally {
        inFlight.delete(requeue);
      }
      const { id, generation } = job.data as { id?: string; generation?: number };
      logger.info({ id, generation, queue: job.queueName }, 'job requeued');
      await job.moveToDelayed(Date.now(), token);
      throw new DelayedError();
    },

    async stop(worker) {
      const timer = setTimeout(() => {
        hasTimedOut = true;
        for (const requeue of inFlight) requeue();
      }, finishTimeoutMs);
      try {
        await worker.close();
      } finally {
        clearTimeout(timer);
      }
    },
  };
}
