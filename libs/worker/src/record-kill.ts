import type { Instance } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import type { WorkerMetrics } from './worker-metrics.ts';

/** Counts and logs every instance that this worker has ended. */
export function recordKill(
  logger: Logger,
  metrics: Pick<WorkerMetrics, 'kills' | 'killLatenessSeconds'>,
): (instance: Instance) => void {
  return ({ id, generation, reason, message, lastTransitionAt, expiresAt }) => {
    metrics.kills.inc({ reason: reason ?? 'unknown' });
    if (reason === 'ttl') {
      metrics.killLatenessSeconds.observe(Math.max(0, lastTransitionAt - expiresAt) / 1000);
    }
    logger.info({ id, generation, reason, message }, 'instance removed');
  };
}
