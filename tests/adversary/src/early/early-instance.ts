import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';

/** What an instance does behind its response: `how=` in the target of a request names it. */
export const HOWS = ['reads on', 'stops reading'] as const;
export type How = (typeof HOWS)[number];

export const TOO_LARGE = 'too large';

/** The response, in the version of the request. */
const response = (version: string) =>
  `HTTP/${version} 413 Too Large\r\nContent-Length: ${TOO_LARGE.length}\r\n` +
  `Connection: close\r\n\r\n${TOO_LARGE}`;

/**
 * An instance on 127.0.1.1 that sends 413 as soon as it has the head of a request, and shuts its write
 * side. Then it reads the rest of the upload, or closes the connection while the client is sending,
 * so that its kernel sends a reset.
 */
export async function startEarlyInstance(): Promise<{ port: number; stop(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    let head = '';
    const onHead = (data: Buffer) => {
      head += data.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      socket.off('data', onHead);
      const version = /^[^\r]* HTTP\/([\d.]+)\r/.exec(head)?.[1] ?? '1.1';
      socket.end(response(version));
      if (/^\S+ \S*\bhow=reads\+on\b/.test(head)) {
        socket.resume().once('end', () => socket.destroy());
      } else {
        socket.pause();
        void once(socket, 'finish').then(() => socket.destroy());
      }
    };
    socket.on('data', onHead);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.1.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
