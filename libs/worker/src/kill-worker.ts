import { kill } from '@ephemera/lifecycle';
import type { KillPorts, Killed } from '@ephemera/lifecycle';
import { killQueue } from '@ephemera/queue';
import type { KillJob } from '@ephemera/queue';
import { DelayedError } from 'bullmq';
import { requeueOnShutdown, startJobWorker } from './job-worker.ts';
import { KILL_CONCURRENCY } from './limits.ts';
import type { QueueWorker, QueueWorkerOptions } from './spawn-worker.ts';

/**
 * Processes the kill jobs of one host. A job is a hint: when it fires, `kill` reads the lease
 * again. A job whose lease has been renewed delays itself to the new deadline, without using an
 * attempt.
 */
export function startKillWorker(
  ports: KillPorts,
  host: string,
  options: Omit<QueueWorkerOptions, 'metrics'>,
): QueueWorker {
  const { logger, connection, prefix, startJobWorker: start = startJobWorker } = options;
  const requeued = requeueOnShutdown(logger, options.finishTimeoutMs);
  const worker = start<KillJob, { kind: Killed['kind']; reason?: string | undefined }>(
    killQueue(host),
    async (job, token) => {
      const killed = await requeued.runOrRequeue(job, token, () => kill(ports, job.data.id, 'due'));
      if (killed.kind === 'leased') {
        const due = Date.now() + killed.remaining;
        await job.updateData({ ...job.data, dueAt: new Date(due).toISOString() });
        await job.moveToDelayed(due, token);
        throw new DelayedError();
      }
      if (killed.kind === 'absent') return { kind: 'absent' };
      return { kind: 'killed', reason: killed.instance.reason };
    },
    { logger, connection, prefix, concurrency: KILL_CONCURRENCY },
  );
  return { worker, stop: () => requeued.stop(worker) };
}
