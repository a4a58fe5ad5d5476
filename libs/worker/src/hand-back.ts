import { DelayedError } from 'bullmq';
import type { Job, Worker } from 'bullmq';
import type { Logger } from '@ephemera/process';

/** How long jobs under way have to end by themselves when their worker stops, milliseconds. */
const FINISH_WITHIN = 10_000;

/** Gives jobs that outlast the stop of their worker back to its queue, for another to take up. */
export interface HandBack {
  /**
   * The outcome of the work; a job that is given back has spent no attempt.
   * @param work is told whether its job was given back
   */
  orBack<T>(
    job: Job,
    token: string | undefined,
    work: (isGivenBack: () => boolean) => Promise<T>,
  ): Promise<T>;
  /** Closes the worker once its jobs have ended or are given back. */
  stop(worker: Worker): Promise<void>;
}

/**
 * What a job has begun goes on until the process ends: whoever takes the job up meets it as it would
 * meet that of a worker which was killed.
 */
export function handBack(logger: Logger, finishWithin = FINISH_WITHIN): HandBack {
  const underWay = new Set<() => void>();
  let isLate = false;
  return {
    async orBack(job, token, work) {
      let isGivenBack = false;
      const { promise: late, resolve } = Promise.withResolvers<'late'>();
      const giveBack = (): void => {
        isGivenBack = true;
        resolve('late');
      };
      underWay.add(giveBack);
      if (isLate) giveBack();
      try {
        const ended = work(() => isGivenBack).then((value) => ({ value }));
        const outcome = await Promise.race([ended, late]);
        if (outcome !== 'late') return outcome.value;
      } finally {
        underWay.delete(giveBack);
      }
      const { id, generation } = job.data as { id?: string; generation?: number };
      logger.info({ id, generation, queue: job.queueName }, 'job given back');
      await job.moveToDelayed(Date.now(), token);
      throw new DelayedError();
    },

    async stop(worker) {
      const timer = setTimeout(() => {
        isLate = true;
        for (const giveBack of underWay) giveBack();
      }, finishWithin);
      try {
        await worker.close();
      } finally {
        clearTimeout(timer);
      }
    },
  };
}
