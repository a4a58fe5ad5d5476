import { createHash } from 'node:crypto';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type RecordedRequest,
  END,
  type Message,
  RESET,
  type To,
  type UpstreamStep,
} from './message.ts';

/** Everything that arrived for one message. */
export interface Recorded {
  /** The bytes of each connection, latin1. */
  readonly connections: readonly string[];
}

/** A raw server in place of a container. It records what arrives, and answers as a message says. */
export interface RecordingUpstream {
  readonly port: number;
  /** Closes the connections of the last message, and answers as this one says from now on. */
  begin(message: Message, to: To): void;
  recorded(): Recorded;
  stop(): void;
}

/** The header that shows that a response is the instance's own. */
export const MARK = 'X-Instance: 1';
const OK = `HTTP/1.1 200 OK\r\n${MARK}\r\nContent-Length: 2\r\n\r\n`;

export async function startRecordingUpstream(): Promise<RecordingUpstream> {
  let current: { message: Message; to: To } | undefined;
  const open = new Map<Socket, { bytes: string }>();
  const connections: { bytes: string }[] = [];
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    const record = { bytes: '' };
    open.set(socket, record);
    connections.push(record);
    socket.on('close', () => open.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.end());
    const at = { rest: '', nth: 0, isBusy: false, isTunnel: false, isContinued: false };
    const serve = async () => {
      if (at.isBusy || !current) return;
      const { message, to } = current;
      const end = at.rest.indexOf('\r\n\r\n');
      if (end === -1) return;
      const head = at.rest.slice(0, end);
      const length = bodyLength(head, at.rest.slice(end + 4));
      if (length === undefined && !message.isEarly) {
        if (!at.isContinued && /\r\nexpect: *100-continue/i.test(head)) {
          at.isContinued = true;
          socket.write('HTTP/1.1 100 Continue\r\n\r\n');
        }
        return;
      }
      at.isBusy = true;
      at.isContinued = false;
      at.nth++;
      at.rest = length === undefined ? '' : at.rest.slice(end + 4 + length);
      const recorded: RecordedRequest = { head, nth: at.nth };
      at.isTunnel = !message.reply && isHandshake(head);
      await play(socket, message.reply?.(recorded, to) ?? defaultReply(head));
      if (at.isTunnel) socket.write(at.rest, 'latin1');
      at.isBusy = at.isTunnel || message.isEarly === true;
      void serve();
    };
    socket.on('data', (data) => {
      const text = data.toString('latin1');
      record.bytes += text;
      if (at.isTunnel) socket.write(text, 'latin1');
      else {
        at.rest += text;
        void serve();
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.1.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    begin(message, to) {
      for (const socket of open.keys()) socket.destroy();
      connections.length = 0;
      current = { message, to };
    },
    recorded: () => ({ connections: connections.map(({ bytes }) => bytes).filter(Boolean) }),
    stop() {
      server.close();
      for (const socket of open.keys()) socket.destroy();
    },
  };
}

function isHandshake(head: string): boolean {
  return (
    /\r\nupgrade: *websocket\r?\n?/i.test(`${head}\r\n`) && /\r\nsec-websocket-key:/i.test(head)
  );
}

function defaultReply(head: string): UpstreamStep[] {
  if (!isHandshake(head)) return [head.startsWith('HEAD ') ? OK : `${OK}ok`];
  const key = /\r\nsec-websocket-key: *(\S+)/i.exec(head)?.[1] ?? '';
  const accept = createHash('sha1')
    .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64');
  return [
    `HTTP/1.1 101 Switching Protocols\r\n${MARK}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
  ];
}

async function play(socket: Socket, steps: readonly UpstreamStep[]): Promise<void> {
  for (const step of steps) {
    if (socket.destroyed) return;
    if (typeof step === 'number') await sleep(step);
    else if (step === END) socket.end();
    else if (step === RESET) socket.resetAndDestroy();
    else await new Promise<void>((resolve) => socket.write(step, 'latin1', () => resolve()));
  }
}

/** The length of a body as sent; undefined while it is incomplete. It accepts what peers forward. */
function bodyLength(head: string, after: string): number | undefined {
  if (/\r\ntransfer-encoding:[^\r]*chunked/i.test(head)) {
    const end = /(?:^|\r\n)0+[ \t]*(?:;[^\r]*)?\r\n(?:[^\r\n]+\r\n)*\r\n/.exec(after);
    return end ? end.index + end[0].length : undefined;
  }
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
  return after.length >= length ? length : undefined;
}
