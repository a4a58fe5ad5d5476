import { connect } from 'node:net';

/** How long a server may keep quiet before it is taken to wait for more, ms. */
const QUIET = 200;
/** How long it may take to close once its client has. */
const CLOSE_TIMEOUT_MS = 5_000;

/**
 * Sends bytes on a connection of their own and gives all that comes back (latin1), until it is
 * closed, so many final answers are there, or nothing more comes.
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

/** The statuses of the final answers in what a client has received. */
export function statusesIn(received: string): string[] {
  return [...received.matchAll(/HTTP\/1\.[01] ([2-5]\d\d)/g)].map(([, status = '']) => status);
}
