import type { WorkerDependencies } from '@ephemera/worker';
import type { ProcessPlan } from './process-plan.ts';

/**
 * Runs every job of a worker twice, as happens when a lock expires under a worker that lives. The
 * first run decides the result of the job; the second one may fail.
 */
export function runTwice(
  base: WorkerDependencies,
  how: NonNullable<ProcessPlan['twice']>,
): WorkerDependencies {
  return {
    ...base,
    startJobWorker: (queue, process, options) =>
      base.startJobWorker(
        queue,
        async (...args) => {
          const first = process(...args);
          if (how === 'in a row') await first.catch(() => undefined);
          const second = process(...args);
          await Promise.allSettled([first, second]);
          return first;
        },
        options,
      ),
  };
}
