import { connect } from 'node:net';
import type { Instance } from '@ephemera/domain';

/**
 * How long a warm instance may take to accept a connection, ms. A live one on the same network is
 * faster.
 */
const ATTEMPT = 250;

/** Returns whether the main port of an instance accepts a connection from this process. */
export function isReachable({ address, template }: Instance): Promise<boolean> {
  if (address === undefined) return Promise.resolve(false);
  return new Promise((resolve) => {
    const socket = connect({ host: address, port: template.port });
    // `socket.setTimeout` does not limit a connection attempt to a silent address.
    const timer = setTimeout(() => end(false), ATTEMPT);
    const end = (accepts: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(accepts);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}
