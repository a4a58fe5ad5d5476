import Docker from 'dockerode';
import pTimeout from 'p-timeout';

/** The client type, for modules that do not import dockerode. */
export type DockerClient = Docker;

/**
 * Creates a client of the daemon at a `DOCKER_HOST` address, `unix:///path` or `tcp://host:port`.
 * @throws Error if the address has another form
 */
export function connectDocker(address: string): DockerClient {
  const url = URL.parse(address);
  if (url?.protocol === 'unix:' && url.pathname) return new Docker({ socketPath: url.pathname });
  if (url?.protocol === 'tcp:' && url.hostname) {
    return new Docker({ protocol: 'http', host: url.hostname, port: Number(url.port || 2375) });
  }
  throw new Error(`DOCKER_HOST must be unix:///path or tcp://host:port, not "${address}"`);
}

/** A call to the daemon timed out. */
export class DaemonTimeout extends Error {
  override readonly name = 'DaemonTimeout';
}

/**
 * Waits at most `ms` for a call to the daemon. If the daemon dies mid-response, dockerode never
 * settles its promise, even if the request is aborted. A call given as a function gets a signal that
 * aborts at the timeout, so that a late response does not keep its connection open.
 * @param what name of the call, for the error
 * @throws DaemonTimeout
 */
export async function withDeadline<T>(
  what: string,
  ms: number,
  call: Promise<T> | ((signal: AbortSignal) => Promise<T>),
): Promise<T> {
  const abort = new AbortController();
  return await pTimeout(typeof call === 'function' ? call(abort.signal) : call, {
    milliseconds: ms,
    fallback() {
      abort.abort();
      throw new DaemonTimeout(`${what} took over ${ms} ms`);
    },
  });
}

/** The HTTP status of an error response of the daemon. Undefined for other errors. */
export function statusOf(error: unknown): number | undefined {
  const status = (error as { statusCode?: unknown } | null)?.statusCode;
  return typeof status === 'number' ? status : undefined;
}

/** The error message of the daemon, without the prefix of the client. */
export function daemonMessage(error: unknown): string {
  const { json, message } = error as { json?: { message?: string } | null; message?: string };
  return json?.message ?? message ?? String(error);
}

/**
 * Converts the given error statuses to undefined, for example 404 for a container that is already
 * removed.
 */
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
