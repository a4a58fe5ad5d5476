import { connect } from 'node:net';

/** After this time without data, the server is assumed to wait for more, ms. */
const QUIET = 200;
/** How long the server may take to close the connection after its client has ended it. */
const CLOSE_TIMEOUT_MS = 5_000;

/**
 * Sends bytes on a new connection. Returns everything received (latin1) until the connection
 * closes, `answers` final responses have arrived, or no more data arrives.
 */
export async function exchange(
  port: number,
  bytes: string,
  answers: number,
  quiet = QUIET,
): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  let received = '';
  let timer = setTimeout(() => socket.destroy(), CLOSE_TIMEOUT_MS);
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => socket.destroy(), quiet);
  };
  socket.on('connect', () => {
    socket.write(bytes, 'latin1');
    wait();
  });
  socket.on('data', (data) => {
    received += data.toString('latin1');
    if (answers > 0 && statusesIn(received).length >= answers) socket.destroy();
    else wait();
  });
  socket.on('error', () => socket.destroy());
  socket.on('close', () => {
    clearTimeout(timer);
    resolve(received);
  });
  return await promise;
}

/** Returns the statuses of the final responses in received bytes. */
export function statusesIn(received: string): string[] {
  return [...received.matchAll(/HTTP\/1\.[01] ([2-5]\d\d)/g)].map(([, status = '']) => status);
}
