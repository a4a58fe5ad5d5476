import type { Failure } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';

/** Logs a failure that is the instance's fault; what visitors ask for wrongly is no news. */
export function logUpstreamFailure(logger: Pick<Logger, 'warn'>, failure: Failure): void {
  if (failure.kind === 'upstream_unreachable' || failure.kind === 'upstream_timeout') {
    logger.warn({ id: failure.id, kind: failure.kind }, 'instance does not answer as it should');
  }
}
