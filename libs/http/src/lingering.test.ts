import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import Koa from 'koa';
import { expect, onTestFinished, test } from 'vitest';
import { lingerOnClose } from './lingering.ts';
import { closeBehindLongBody } from './own-responses.ts';
import { bodyReader } from './read-body.ts';
import { z } from 'zod';

// Every client sends its whole request before it reads the response.

async function serve(listener: RequestListener): Promise<number> {
  const server = createServer({ maxHeaderSize: 16 << 10 }, listener);
  lingerOnClose(server, { silence: 500, total: 5_000 });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** Sends a head and `size` bytes, and then reads. Returns what was received, or the error. */
async function sendThenRead(port: number, head: string, size: number): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const { promise, resolve } = Promise.withResolvers<string>();
  let received = '';
  socket.on('error', (error: NodeJS.ErrnoException) => resolve(received || `${error.code}`));
  socket.on('close', () => resolve(received));
  socket.write(head);
  const piece = Buffer.alloc(64 << 10, 'x');
  for (let sent = 0; sent < size; sent += piece.length) {
    if (!socket.write(piece)) {
      await Promise.race([promise, new Promise((drained) => socket.once('drain', drained))]);
    }
  }
  socket.on('data', (data) => (received += data.toString('latin1')));
  socket.on('end', () => socket.end());
  return await promise;
}

const SIZE = 4 << 20;
const put = (fields: string) => `PUT / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;

test.each([
  ['200', 'an unread body', put(`Connection: close\r\nContent-Length: ${SIZE}\r\n`)],
  ['200', 'HTTP/1.0', `PUT / HTTP/1.0\r\nContent-Length: ${SIZE}\r\n\r\n`],
  ['400', 'a malformed head', put('X Y: z\r\n')],
  ['431', 'a large head', put(`X: ${'a'.repeat(20_000)}\r\n`)],
])(
  '%s behind %s is delivered',
  async (status, _, head) => {
    const port = await serve((_req, res) => res.end('unread'));
    for (let i = 0; i < 5; i++) {
      expect(await sendThenRead(port, head, SIZE)).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    }
  },
  60_000,
);

test('a malformed body in place of the response that is being prepared', async () => {
  let closes = 0;
  const port = await serve((req, res) => {
    req.resume();
    res.on('close', () => closes++);
  });
  const head = put('Transfer-Encoding: chunked\r\n');
  expect(await sendThenRead(port, `${head}zz\r\n`, SIZE)).toMatch(/^HTTP\/1\.1 400 /);
  expect(closes).toBe(1);
});

test.each([
  ['within the length that is discarded', 900_000],
  ['beyond it', SIZE],
])('a body that is larger than its route allows, %s: 413', async (_, size) => {
  const app = new Koa();
  const read = bodyReader({ type: 'json', limit: 1_000, schema: z.unknown() });
  app.use(closeBehindLongBody);
  app.use(async (ctx) => {
    const body = await read(ctx);
    ctx.status = body.ok ? 200 : body.status;
    ctx.body = 'done';
  });
  const handle = app.callback();
  const port = await serve((req, res) => void handle(req, res));
  const fields = `Content-Type: application/json\r\nConnection: close\r\nContent-Length: ${size}\r\n`;
  for (let i = 0; i < 5; i++) {
    expect(await sendThenRead(port, put(fields), size)).toMatch(/^HTTP\/1\.1 413 /);
  }
});
