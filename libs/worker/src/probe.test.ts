import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { Readiness } from '@ephemera/domain';
import { expect, onTestFinished, test } from 'vitest';
import { assignedInstance } from '../test/docker-fixture.ts';
import { probe } from './probe.ts';

const HTTP: Readiness = { kind: 'http', path: '/health', status: [[200, 399]], within: 30_000 };
const TCP: Readiness = { kind: 'tcp', within: 30_000 };

/** A server on the port of a container, with the behaviour of `answer`. */
async function serve(answer: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('data', () => answer(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const ask = (port: number, ready: Readiness) =>
  probe(assignedInstance({ port, ready }), '127.0.0.1');

test.each([
  ['200 OK', true],
  ['204 No Content', true],
  ['302 Found', true],
  ['400 Bad Request', false],
  ['503 Unavailable', false],
])('a response with %s: %s', async (status, serves) => {
  const port = await serve((socket) => {
    socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`);
  });
  expect(await ask(port, HTTP)).toBe(serves);
});

test('requests the path of the template, and accepts its statuses', async () => {
  const asked: string[] = [];
  const server = createHttpServer((req, res) => {
    asked.push(`${req.method ?? ''} ${req.url ?? ''}`);
    res.writeHead(401).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const login = {
    ...HTTP,
    path: '/login?next=/',
    status: [
      [200, 299],
      [401, 401],
    ],
  } as const;
  expect(await ask(port, login)).toBe(true);
  expect(asked).toEqual(['GET /login?next=/']);
});

test('a tcp probe succeeds only if the port accepts a connection', async () => {
  const port = await serve(() => undefined);
  expect(await ask(port, TCP)).toBe(true);
  expect(await ask(1, TCP)).toBe(false);
  expect(await ask(1, HTTP)).toBe(false);
});

test('a container without an address is not ready', async () => {
  expect(await probe(assignedInstance(), '')).toBe(false);
});

// A probe that never ends occupies a start slot of the host. A few such containers would block all
// starts.
test.each<[string, (socket: Socket) => void]>([
  ['says nothing', () => undefined],
  ['hangs up', (socket) => socket.destroy()],
  ['speaks another protocol', (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')],
  [
    'switches protocols unasked',
    (socket) => socket.write('HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'),
  ],
  [
    'sends its head a byte at a time',
    (socket) => trickle(socket, `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(1_000)}`, 1),
  ],
  [
    'goes on continuing',
    (socket) => trickle(socket, 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(99), 25),
  ],
])('a server that %s fails the probe within the timeout', async (_, answer) => {
  const port = await serve(answer);
  const began = Date.now();
  expect(await ask(port, HTTP)).toBe(false);
  expect(Date.now() - began).toBeLessThan(4_000);
});

test('an endless body does not delay the probe', async () => {
  const port = await serve((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
  });
  expect(await ask(port, HTTP)).toBe(true);
});

function trickle(socket: Socket, text: string, size: number): void {
  let at = 0;
  const timer = setInterval(() => {
    socket.write(text.slice(at, (at += size)));
  }, 100);
  socket.once('close', () => clearInterval(timer));
}
