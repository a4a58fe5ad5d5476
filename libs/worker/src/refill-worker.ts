import { refill } from '@ephemera/lifecycle';
import type { RefillPorts } from '@ephemera/lifecycle';
import { REFILL_QUEUE, WORKER_OPTIONS } from '@ephemera/queue';
import type { ScheduledMinimumJob, RefillJob } from '@ephemera/queue';
import type { Logger } from '@ephemera/process';
import { Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { logWorkerErrors } from './spawn-worker.ts';

export interface RefillWorkerOptions {
  readonly connection: Redis;
  readonly prefix: string;
  readonly logger: Logger;
}

/** Works off the jobs that keep pools filled; any worker of any host takes the next one. */
export function startRefillWorker(ports: RefillPorts, options: RefillWorkerOptions): Worker {
  const { logger, ...rest } = options;
  const worker = new Worker<RefillJob | ScheduledMinimumJob>(
    REFILL_QUEUE,
    async ({ data, opts }) => {
      if ('entry' in data) {
        // A job that was due while no worker was there begins late, and ends on time.
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
        logger.info({ ...done, template: data.template }, 'pool filled');
      }
      return done;
    },
    { ...WORKER_OPTIONS, ...rest },
  );
  logWorkerErrors(worker, logger);
  return worker;
}
