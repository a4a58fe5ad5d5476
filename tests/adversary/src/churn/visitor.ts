import { connect, type Socket } from 'node:net';

export interface Answer {
  readonly status: number;
  /** The id of the instance that responded. */
  readonly from: string;
}

const HANDSHAKE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
/** Longer than a replica may be stopped, plus any wait of the replica. */
const TIMEOUT_MS = 20_000;

/**
 * A client that sends one request after another on one connection, and reconnects when it closes.
 */
export class Visitor {
  readonly #port: number;
  #socket: Socket | undefined;
  #received = '';
  #settle: ((answer: Answer | undefined) => void) | undefined;

  constructor(port: number) {
    this.#port = port;
  }

  /**
   * @param upgrade sends a WebSocket handshake
   * @returns undefined if the connection was closed
   */
  ask(id: string, upgrade = false): Promise<Answer | undefined> {
    const { promise, resolve } = Promise.withResolvers<Answer | undefined>();
    const timer = setTimeout(() => this.#close(), TIMEOUT_MS);
    this.#settle = (answer) => {
      clearTimeout(timer);
      this.#settle = undefined;
      resolve(answer);
    };
    this.#received = '';
    const lines = upgrade ? HANDSHAKE : '';
    this.#open().write(`GET /demo/${id}/id HTTP/1.1\r\nHost: a.example\r\n${lines}\r\n`);
    return promise;
  }

  leave(): void {
    this.#close();
  }

  #open(): Socket {
    if (this.#socket?.writable) return this.#socket;
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true });
    this.#socket = socket;
    socket.on('data', (data) => {
      this.#received += data.toString('latin1');
      this.#read();
    });
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      this.#settle?.(undefined);
    });
    return socket;
  }

  #close(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.destroy();
    this.#settle?.(undefined);
  }

  #read(): void {
    const end = this.#received.indexOf('\r\n\r\n');
    if (end === -1) return;
    const head = this.#received.slice(0, end + 2);
    const status = Number(head.slice(9, 12));
    const length = Number(/\r\ncontent-length: (\d+)\r\n/i.exec(head)?.[1] ?? 0);
    const body = this.#received.slice(end + 4);
    if (body.length < length) return;
    const settle = this.#settle;
    if (status === 101) {
      const from = /\r\nx-instance: (\S+)\r\n/i.exec(head)?.[1] ?? '';
      this.#settle = undefined;
      this.#close();
      settle?.({ status, from });
    } else {
      if (/\r\nconnection: close\r\n/i.test(head)) this.#socket?.destroy();
      settle?.({ status, from: body });
    }
  }
}
