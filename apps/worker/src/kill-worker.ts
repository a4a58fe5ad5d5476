import { kill } from '@ephemera/lifecycle';
import type { KillPorts, Killed } from '@ephemera/lifecycle';
import { WORKER_OPTIONS, killQueue } from '@ephemera/queue';
import type { KillJob } from '@ephemera/queue';
import { DelayedError, Worker } from 'bullmq';
import { inLanes } from './in-lanes.ts';
import { reportFaults } from './spawn-worker.ts';
import type { QueueWorkerOptions } from './spawn-worker.ts';

/** How many kills may be begun and not finished: more than a host has instances. */
const AT_ONCE = 2_000;

/**
 * Works off the kill jobs of one host. A job is a hint: when it fires, the lease is read again,
 * and a job whose lease runs on delays itself to the new deadline, which spends no attempt.
 */
export function startKillWorker(
  ports: KillPorts,
  host: string,
  options: QueueWorkerOptions,
): Worker {
  const { logger, metrics, concurrency, ...rest } = options;
  const through = inLanes(concurrency);
  const { containers } = ports;
  // The daemon is asked for so many removals at once; what waits for one is withdrawn already.
  const removeInstance: typeof containers.removeInstance = (id, grace) =>
    through(() => containers.removeInstance(id, grace));
  const inTurn = { ...ports, containers: { ...containers, removeInstance } };
  const worker = new Worker<KillJob, { kind: Killed['kind']; reason?: string | undefined }>(
    killQueue(host),
    async (job, token) => {
      const { id, generation } = job.data;
      const log = logger.child({ id, generation });
      const killed = await kill(inTurn, id, 'due');
      if (killed.kind === 'leased') {
        const due = Date.now() + killed.remaining;
        await job.updateData({ ...job.data, dueAt: new Date(due).toISOString() });
        await job.moveToDelayed(due, token);
        throw new DelayedError();
      }
      if (killed.kind === 'absent') return { kind: 'absent' };
      const { reason, lastTransitionAt, expiresAt } = killed.instance;
      metrics.kills.inc({ reason: reason ?? 'unknown' });
      if (reason === 'ttl') {
        metrics.killLatenessSeconds.observe(Math.max(0, lastTransitionAt - expiresAt) / 1000);
      }
      log.info({ reason }, 'instance removed');
      return { kind: 'killed', reason };
    },
    { ...WORKER_OPTIONS, ...rest, concurrency: AT_ONCE },
  );
  reportFaults(worker, logger);
  return worker;
}
