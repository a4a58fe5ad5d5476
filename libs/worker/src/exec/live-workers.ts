import { EXEC_WORKER_LENGTH } from '@ephemera/domain';

/** Reads of the registered workers in a row that must agree, and the time between the first and the last. */
const MIN_READS = 3;

/** The part of the id of a command, or of a fingerprint, that names the worker. */
export function workerOf(text: string): string {
  return text.slice(0, EXEC_WORKER_LENGTH);
}

/**
 * Decides which workers of a host live. A worker that cannot reach Redis for a while is not
 * registered although it lives, and so are all workers in the first reads after an outage of Redis.
 * So only reads that agree for some time count.
 * @param settleMs how long the reads must agree, ms
 */
export function createLiveWorkers(settleMs: number): {
  /**
   * @param registered fingerprints of the registered workers, from a read that succeeded
   * @param now ms, by a clock that does not jump
   * @returns whether workers are new or missing since the last time, the live workers if the reads agree
   */
  observe(
    registered: readonly string[],
    now: number,
  ): { readonly hasChanged: boolean; readonly live: ReadonlySet<string> | undefined };
} {
  let live: ReadonlySet<string> | undefined;
  let since = 0;
  let reads = 0;
  return {
    observe(registered, now) {
      const seen = new Set(registered.map(workerOf));
      const hasChanged = live?.size !== seen.size || [...seen].some((worker) => !live?.has(worker));
      if (hasChanged) {
        live = seen;
        since = now;
        reads = 0;
      }
      reads++;
      const isSettled = reads >= MIN_READS && now - since > settleMs;
      return { hasChanged, live: isSettled ? live : undefined };
    },
  };
}
