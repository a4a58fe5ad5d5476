/**
 * Sends 64-byte messages over WebSocket connections. Each is sent after the echo of the previous
 * one.
 */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import type { Socket } from 'node:net';

const options = JSON.parse(process.argv[2] ?? '') as EchoOptions;

export interface EchoOptions {
  readonly port: number;
  readonly path: string;
  readonly connections: number;
  readonly seconds: number;
}

export interface EchoResult {
  readonly messages: number;
  readonly perSecond: number;
  readonly wrong: number;
}

/**
 * A masked text frame of 64 bytes (RFC 6455, section 5.2). The echo server returns the frame
 * unchanged, so the echo is masked too.
 */
const FRAME = Buffer.concat([Buffer.from([0x81, 0x80 | 64]), randomBytes(4 + 64)]);

let messages = 0;
let wrong = 0;
let isOver = false;
const sockets = await Promise.all(Array.from({ length: options.connections }, open));
const began = performance.now();
for (const socket of sockets) socket.write(FRAME);
setTimeout(() => {
  isOver = true;
  const perSecond = messages / ((performance.now() - began) / 1000);
  process.stdout.write(JSON.stringify({ messages, perSecond, wrong } satisfies EchoResult));
  for (const socket of sockets) socket.destroy();
}, options.seconds * 1000);

function open(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(options.port, '127.0.0.1').setNoDelay(true);
    socket.once('error', reject);
    socket.once('data', (head) => {
      if (!head.toString('latin1').startsWith('HTTP/1.1 101 ')) reject(new Error(String(head)));
      let received = 0;
      socket.on('data', (data: Buffer) => {
        if (received === 0 && !data.equals(FRAME.subarray(0, data.length))) wrong++;
        received += data.length;
        if (received < FRAME.length) return;
        received = 0;
        messages++;
        if (!isOver) socket.write(FRAME);
      });
      socket.once('close', () => (wrong += isOver ? 0 : 1));
      resolve(socket);
    });
    socket.write(
      `GET ${options.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n` +
        `Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
        `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`,
    );
  });
}
