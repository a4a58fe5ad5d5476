import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@ephemera/process';

/**
 * Runs `work` immediately, and again `interval` ms after each run, until `signal` aborts. A failed
 * run is logged and does not stop the loop. Resolves after the last run has ended.
 */
export async function runPeriodically(
  what: string,
  interval: number,
  work: () => Promise<unknown>,
  { signal, logger }: { signal: AbortSignal; logger: Logger },
): Promise<void> {
  while (!signal.aborted) {
    try {
      await work();
    } catch (error) {
      logger.warn({ err: error, what }, 'periodic work failed');
    }
    await sleep(interval, undefined, { signal }).catch(() => undefined);
  }
}
