import type { Logger } from '@ephemera/process';
import type { EventLogState } from '@ephemera/store';
import { EVENT_LOG_WARNING_INTERVAL_MS, MIN_EVENT_AGE_MS } from './limits.ts';

/**
 * Returns a function that is called repeatedly. It warns, at most once per
 * `EVENT_LOG_WARNING_INTERVAL_MS`, if the log of events is full and does not reach back
 * `MIN_EVENT_AGE_MS`: readers that were away lose events.
 */
export function eventLogWatch(ports: {
  readonly read: () => Promise<EventLogState>;
  /** The store's clock, epoch ms. */
  readonly now: () => number;
  readonly logger: Pick<Logger, 'warn'>;
}): () => Promise<void> {
  let warnedAt = -Infinity;
  return async () => {
    const { count, max, oldestAt } = await ports.read();
    const now = ports.now();
    if (oldestAt === undefined || count < max || now - oldestAt >= MIN_EVENT_AGE_MS) return;
    if (now - warnedAt < EVENT_LOG_WARNING_INTERVAL_MS) return;
    warnedAt = now;
    ports.logger.warn(
      { storedEvents: count, oldestSeconds: Math.round((now - oldestAt) / 1000) },
      'the log of events is full and short: readers of /v1/events that are away for longer lose events; limit the rates of starts and changes',
    );
  };
}
