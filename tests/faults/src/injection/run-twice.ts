import type { WorkerDependencies } from '@ephemera/worker';
import type { ProcessPlan } from './process-plan.ts';

/**
 * Runs every job of a worker twice. This happens in production when a job lock expires while the
 * worker is alive. The first run decides the result of the job; the second run may fail.
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
