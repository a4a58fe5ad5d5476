import { DelayedError } from 'bullmq';
import type { Job, Worker } from 'bullmq';
import type { Logger } from '@ephemera/process';

/** How long jobs under way have to end by themselves when their worker stops, milliseconds. */
const FINISH_TIMEOUT_MS = 10_000;

/** Gives jobs that outlast the stop of their worker back to its queue, for another to take up. */
export interface ShutdownRequeue {
  /**
   * The outcome of the work; a job that is given back has spent no attempt.
   * @param work is told whether its job was given back
   */
  runOrRequeue<T>(
    job: Job,
    token: string | undefined,
    work: (wasRequeued: () => boolean) => Promise<T>,
  ): Promise<T>;
  /** Closes the worker once its jobs have ended or are given back. */
  stop(worker: Worker): Promise<void>;
}

/**
 * What a job has begun goes on until the process ends: whoever takes the job up meets it as it would
 * meet that of a worker which was killed.
 */
export function requeueOnShutdown(
  logger: Logger,
  finishTimeoutMs = FINISH_TIMEOUT_MS,
): ShutdownRequeue {
  const inFlight = new Set<() => void>();
  let isLate = false;
  return {
    async runOrRequeue(job, token, work) {
      let wasRequeued = false;
      const { promise: overdueKills, resolve } = Promise.withResolvers<'late'>();
      const requeue = (): void => {
        wasRequeued = true;
        resolve('late');
      };
      inFlight.add(requeue);
      if (isLate) requeue();
      try {
        const ended = work(() => wasRequeued).then((value) => ({ value }));
        const outcome = await Promise.race([ended, overdueKills]);
        if (outcome !== 'late') return outcome.value;
      } finally {
        inFlight.delete(requeue);
      }
      const { id, generation } = job.data as { id?: string; generation?: number };
      logger.info({ id, generation, queue: job.queueName }, 'job given back');
      await job.moveToDelayed(Date.now(), token);
      throw new DelayedError();
    },

    async stop(worker) {
      const timer = setTimeout(() => {
        isLate = true;
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
