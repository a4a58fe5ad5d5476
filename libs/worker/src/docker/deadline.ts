import pTimeout from 'p-timeout';

/** A call to the daemon that did not answer in time. */
export class DaemonTimeout extends Error {
  override readonly name = 'DaemonTimeout';
}

/** How long a short question to the daemon may take, milliseconds. */
export const DEFAULT_TIMEOUT_MS = 15_000;

/** How long a start or a removal may take before the daemon counts as hung, milliseconds. */
export const START_TIMEOUT_MS = 60_000;

/**
 * Waits at most `ms` for a call to the daemon. If the daemon dies mid-response, dockerode never
 * settles its promise, even if the request is aborted. A call given as a function gets a signal that
 * aborts at the timeout, so that a late response does not keep its connection open.
 * @param what name of the call, for the error
 * @throws DaemonTimeout
 */
export function withDeadline<T>(
  what: string,
  ms: number,
  call: Promise<T> | ((signal: AbortSignal) => Promise<T>),
): Promise<T> {
  const abort = new AbortController();
  return pTimeout(typeof call === 'function' ? call(abort.signal) : call, {
    milliseconds: ms,
    fallback() {
      abort.abort();
      throw new DaemonTimeout(`${what} took over ${ms} ms`);
    },
  });
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
