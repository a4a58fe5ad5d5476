/** A call to the daemon that did not answer in time. */
export class DaemonTimeout extends Error {
  override readonly name = 'DaemonTimeout';
}

/** How long a short question to the daemon may take, milliseconds. */
export const DEFAULT_TIMEOUT_MS = 15_000;

/** How long a start or a removal may take before the daemon counts as hung, milliseconds. */
export const START_TIMEOUT_MS = 60_000;

/**
 * Gives up waiting for a call after `ms`. A daemon that dies in the middle of an answer leaves the
 * promise of its client open for ever, whatever signal the call was given. A call that is a function
 * is given one all the same, which aborts then: an answer that comes late and is read by nobody would
 * keep its connection.
 */
export async function withDeadline<T>(
  what: string,
  ms: number,
  call: Promise<T> | ((signal: AbortSignal) => Promise<T>),
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const stop = new AbortController();
  const overdueKills = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new DaemonTimeout(`${what} took over ${ms} ms`));
      stop.abort();
    }, ms);
  });
  try {
    const answer = typeof call === 'function' ? call(stop.signal) : call;
    return await Promise.race([answer, overdueKills]);
  } finally {
    clearTimeout(timer);
  }
}

/** The status that the daemon answered with, where an error is an answer of the daemon's. */
export function statusOf(error: unknown): number | undefined {
  const status = (error as { statusCode?: unknown } | null)?.statusCode;
  return typeof status === 'number' ? status : undefined;
}

/** The daemon's own words, without what the client adds around them. */
export function daemonMessage(error: unknown): string {
  const { json, message } = error as { json?: { message?: string } | null; message?: string };
  return json?.message ?? message ?? String(error);
}

/** Makes the given statuses a success without a value: absent already, done already. */
export async function ignoreStatus<T>(
  statuses: readonly number[],
  call: Promise<T>,
): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    const status = statusOf(error);
    if (status !== undefined && statuses.includes(status)) return undefined;
    throw error;
  }
}
