import { connect } from 'node:net';
import type { Endpoint } from '@ephemera/domain';
import { CLAIM_CONNECT_TIMEOUT_MS } from '../limits.ts';

/** Returns whether a port of an instance accepts a connection from this process. */
export function isReachable({ address, port }: Endpoint): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    // `socket.setTimeout` does not limit a connection attempt to a silent address.
    const timer = setTimeout(() => end(false), CLAIM_CONNECT_TIMEOUT_MS);
    const end = (accepts: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(accepts);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}
