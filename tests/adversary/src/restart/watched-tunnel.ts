import { connect, type Socket } from 'node:net';

export const HANDSHAKE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

/** A WebSocket that sends continuously, and records how long it is echoed. */
export class WatchedTunnel {
  readonly #openedAt = performance.now();
  #echoedAt = performance.now();
  #isClosed = false;

  constructor(socket: Socket) {
    const talk = setInterval(() => socket.write('ping'), 50);
    socket.on('data', () => (this.#echoedAt = performance.now()));
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      clearInterval(talk);
      this.#isClosed = true;
    });
  }

  static async open(port: number, id: string): Promise<WatchedTunnel> {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.write(`GET /demo/${id}/ HTTP/1.1\r\nHost: a.example\r\n${HANDSHAKE}\r\n`);
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    socket.once('error', reject);
    socket.once('data', (data) => {
      if (data.toString('latin1').startsWith('HTTP/1.1 101 ')) resolve(undefined);
      else reject(new Error(data.toString('latin1')));
    });
    await promise;
    return new WatchedTunnel(socket);
  }

  /** Returns whether it was echoed for at least this time, and is closed now. */
  lived(ms: number): boolean {
    return this.#isClosed && this.#echoedAt - this.#openedAt >= ms;
  }
}
