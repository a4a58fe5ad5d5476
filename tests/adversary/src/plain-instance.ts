import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

export interface PlainInstance {
  readonly port: number;
  /** Returns how many connections are open. */
  connections(): Promise<number>;
  stop(): void;
}

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const BIG = Buffer.alloc(1024 * 1024, 'x');
/** More than the kernel buffers for a client that reads nothing. */
const HUGE = Buffer.alloc(16 * 1024 * 1024, 'x');

/**
 * A well-behaved application in place of a container. `/slow` takes 20 ms, `/never` never responds,
 * `/big` is 1 MiB, `/huge` is 16 MiB, `/close` closes its connection, a WebSocket echoes bytes, and
 * everything else responds `ok`. Request bodies are read.
 */
export async function newEchoInstance(): Promise<PlainInstance> {
  const server: Server = createServer((req, res) => {
    req.resume();
    if (req.url === '/never') return;
    const body = req.url === '/big' ? BIG : req.url === '/huge' ? HUGE : 'ok';
    const answer = () => {
      if (req.url === '/close') res.shouldKeepAlive = false;
      res.writeHead(200, { 'content-length': body.length });
      res.end(body);
    };
    if (req.url === '/slow') void sleep(20).then(answer);
    else req.once('end', answer);
  });
  server.requestTimeout = 0;
  server.on('upgrade', (req, socket) => {
    const accept = createHash('sha1').update(`${req.headers['sec-websocket-key'] ?? ''}${GUID}`);
    socket.on('error', () => socket.destroy());
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        `Sec-WebSocket-Accept: ${accept.digest('base64')}\r\n\r\n`,
    );
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.1.1', 4_096, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async connections() {
      const { promise, resolve } = Promise.withResolvers<number>();
      server.getConnections((_error, count) => resolve(count));
      return await promise;
    },
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}
