import type { DockerClient } from './docker-client.ts';

/** Why a call to the daemon failed for a reason that is not in the call itself. */
export type DockerErrorReason =
  /** The daemon answered with a 5xx status. */
  | 'server_error'
  /** The connection was refused, or closed before the response. */
  | 'connection'
  /** The call was aborted at its deadline. */
  | 'timeout';

interface DialError {
  readonly statusCode?: unknown;
  readonly name?: unknown;
  readonly code?: unknown;
}

/** The part of docker-modem through which every call of a client passes. */
interface Modem {
  dial(options: unknown, callback: (error: DialError | null, data?: unknown) => void): void;
}

/**
 * Reports the calls of a client that fail because of the daemon or the connection. Statuses below 500
 * concern single containers, and many are expected.
 */
export function onDockerError(
  docker: DockerClient,
  report: (reason: DockerErrorReason) => void,
): void {
  const modem = docker.modem as Modem;
  const dial = modem.dial.bind(modem);
  modem.dial = (options, callback) => {
    dial(options, (error, data) => {
      const reason = error ? reasonOf(error) : undefined;
      if (reason !== undefined) report(reason);
      callback(error, data);
    });
  };
}

function reasonOf({ statusCode, name, code }: DialError): DockerErrorReason | undefined {
  if (typeof statusCode === 'number') return statusCode >= 500 ? 'server_error' : undefined;
  return name === 'AbortError' || code === 'ABORT_ERR' ? 'timeout' : 'connection';
}
