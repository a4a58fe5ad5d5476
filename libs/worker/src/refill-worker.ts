import { refill } from '@ephemera/lifecycle';
import type { RefillPorts } from '@ephemera/lifecycle';
import { REFILL_QUEUE } from '@ephemera/queue';
import type { ScheduledMinimumJob, RefillJob } from '@ephemera/queue';
import type { Worker } from 'bullmq';
import { startJobWorker } from './job-worker.ts';
import type { QueueWorkerOptions } from './spawn-worker.ts';

/** Processes refill jobs. Every worker takes jobs from the same queue. */
export function startRefillWorker(
  ports: RefillPorts,
  options: Omit<QueueWorkerOptions, 'metrics' | 'finishTimeoutMs'>,
): Worker {
  const { logger, connection, prefix, startJobWorker: start = startJobWorker } = options;
  return start<RefillJob | ScheduledMinimumJob, unknown>(
    REFILL_QUEUE,
    async ({ data, opts }) => {
      if ('entry' in data) {
        // A job that starts late, because no worker was running, still ends on time.
        const remaining = (opts.prevMillis ?? Date.now()) + data.for - Date.now();
        if (remaining <= 0) return { missed: true };
        await ports.pools.setScheduledMinimum(
          data.template,
          data.entry,
          data.ready,
          Math.ceil(remaining),
        );
      }
      const done = await refill(ports, data.template);
      if (done.started + done.retired > 0) {
        logger.info({ ...done, template: data.template }, 'pool scaled');
      }
      return done;
    },
    { logger, connection, prefix },
  );
}
