/** How long the reading of one log is one entry of the audit log, ms. */
const WINDOW_MS = 600_000;

/** How many readings are remembered. Above it the oldest is forgotten, which audits it again. */
const MAX_READS = 10_000;

export interface LogRead {
  /** Name of the token; undefined without a valid token. */
  readonly by: string | undefined;
  readonly address: string;
  readonly id: string;
  readonly status: number;
}

/**
 * Returns a function that says whether a request for a log is the first of its token, address, instance and
 * status in ten minutes. A page requests the log every second or so while it is open.
 * @param now milliseconds of a clock that never goes back
 */
export function createLogReads(
  now: () => number,
  max = MAX_READS,
): { isFirst(read: LogRead): boolean } {
  /** In the order of their times. */
  const audited = new Map<string, number>();
  return {
    isFirst({ by, address, id, status }) {
      const key = JSON.stringify([by, address, id, status]);
      const before = audited.get(key);
      if (before !== undefined && now() - before < WINDOW_MS) return false;
      audited.delete(key);
      audited.set(key, now());
      const [oldest] = audited.keys();
      if (audited.size > max && oldest !== undefined) audited.delete(oldest);
      return true;
    },
  };
}
