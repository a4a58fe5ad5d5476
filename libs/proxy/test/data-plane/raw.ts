import { connect, type Socket } from 'node:net';
import { waitFor } from '@ephemera/test-support';

/** A raw client: it sends and receives bytes. */
export interface Raw {
  readonly socket: Socket;
  readonly received: string;
  /** Whether the peer has ended its side in order. */
  readonly ended: boolean;
  /** Whether the connection is closed, for any reason. */
  readonly closed: boolean;
  /** The error that ended it. */
  readonly error: string | undefined;
  send(bytes: string): void;
  /** Waits until the received bytes match. */
  until(pattern: RegExp): Promise<string>;
  untilClosed(): Promise<string>;
}

export function open(port: number, host = '127.0.0.1'): Raw {
  const socket = connect({ port, host, allowHalfOpen: true, noDelay: true });
  const state = {
    received: '',
    ended: false,
    closed: false,
    error: undefined as string | undefined,
  };
  socket.on('data', (data) => (state.received += data.toString('latin1')));
  socket.on('end', () => {
    state.ended = true;
    socket.end();
  });
  socket.on('error', (error: NodeJS.ErrnoException) => (state.error = error.code));
  socket.on('close', () => (state.closed = true));
  const raw: Raw = {
    socket,
    get received() {
      return state.received;
    },
    get ended() {
      return state.ended;
    },
    get closed() {
      return state.closed;
    },
    get error() {
      return state.error;
    },
    send: (bytes) => void socket.write(bytes, 'latin1'),
    async until(pattern) {
      await waitFor(`${String(pattern)} in the answer`, () => pattern.test(state.received), 10_000);
      return state.received;
    },
    async untilClosed() {
      await waitFor('the connection to close', () => state.closed, 20_000);
      return state.received;
    },
  };
  return raw;
}

/** Sends bytes on a new connection. Returns the response when it is complete. */
export async function send(port: number, bytes: string): Promise<string> {
  const raw = open(port);
  raw.send(bytes);
  try {
    await waitFor('an answer', () => isComplete(raw.received) || raw.closed, 10_000);
    return raw.received;
  } finally {
    raw.socket.destroy();
  }
}

/** Whether a response is complete, framed by length or by chunks. */
function isComplete(answers: string): boolean {
  const received = answers.replace(/^(?:HTTP\/1\.1 1\d\d [^]*?\r\n\r\n)+/, '');
  const end = received.indexOf('\r\n\r\n');
  if (end === -1) return false;
  const head = received.slice(0, end);
  const length = /^content-length: (\d+)$/im.exec(head)?.[1];
  if (length !== undefined) return received.length >= end + 4 + Number(length);
  if (/^transfer-encoding: chunked$/im.test(head)) return /\r\n0\r\n(.*\r\n)*\r\n$/.test(received);
  return /^HTTP\/1\.1 (204|304)/.test(head);
}

export function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);
}

/**
 * Sends `size` bytes as fast as the peer accepts them, and waits until it accepts no more.
 * @returns a function that returns how many bytes were written so far
 */
export async function sendUntilBackpressure({ socket }: Raw, size: number): Promise<() => number> {
  const block = Buffer.alloc(64 * 1024);
  let sent = 0;
  const more = () => {
    while (sent < size) {
      sent += block.length;
      if (!socket.write(block)) return;
    }
  };
  socket.on('drain', more);
  more();
  await waitFor('backpressure at the client', async () => {
    const before = sent;
    await new Promise((resolve) => setTimeout(resolve, 200));
    return before > 0 && before === sent;
  });
  return () => sent;
}
