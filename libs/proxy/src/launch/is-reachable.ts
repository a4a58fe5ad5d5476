import { connect } from 'node:net';
import type { Instance } from '@ephemera/domain';

/** How long a warm instance may take to accept: it is beside, or it is dead. */
const ATTEMPT = 250;

/** Whether the main port of an instance accepts a connection from here. */
export function isReachable({ address, template }: Instance): Promise<boolean> {
  if (address === undefined) return Promise.resolve(false);
  return new Promise((resolve) => {
    const socket = connect({ host: address, port: template.port });
    // The timeout of a socket does not count while it connects to a silent address.
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
