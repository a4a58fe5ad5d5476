import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Fixture, openDashboard, TOKEN } from './fixture.ts';

// Legal spellings of a target and of Host, and offers of other protocols, mean the same to the
// dashboard's checks of names and origins.

let fixture: Fixture;
beforeAll(async () => {
  fixture = await openDashboard(['ops.example']);
});
afterAll(() => fixture.stop());

/** Sends a request on a connection of its own. Returns its status. */
function send(line: string, lines: string, body = ''): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(fixture.url).port), '127.0.0.1');
    let received = '';
    socket.on('error', reject);
    socket.on('data', (data) => (received += data.toString('latin1')));
    socket.on('close', () => resolve(Number(/^HTTP\/1\.1 (\d{3})/.exec(received)?.[1])));
    socket.write(`${line} HTTP/1.1\r\n${lines}Connection: close\r\n\r\n${body}`, 'latin1');
  });
}

test.each([
  ['GET /dashboard/login', 'ops.example', 200],
  ['GET /dashboard/login', 'OPS.Example:8082', 200],
  ['GET /dashboard/login', 'ops.example.', 200],
  ['GET /dashboard/login', 'ops.example:', 200],
  ['GET /dashboard/login', 'ops.example.:', 200],
  ['GET /dashboard/login', 'localhost.:1', 200],
  ['GET /dashboard/login', '127.0.0.1:', 200],
  ['GET /dashboard/login', '[::1]:', 200],
  ['GET http://ops.example/dashboard/login', 'evil.example', 200],
  ['GET HTTP://OPS.example.:/dashboard/login', 'evil.example', 200],
  ['GET http://evil.example/dashboard/login', 'ops.example', 421],
  ['GET /dashboard/login', 'evil.example', 421],
  ['GET /dashboard/login', 'ops.example..', 421],
  ['GET /dashboard/login', 'ops.example.evil.example', 421],
])('%s with Host %s: %i', async (line, host, status) => {
  expect(await send(line, `Host: ${host}\r\n`)).toBe(status);
});

test.each(['h2c', 'TLS/1.2', 'websocket', 'h2c, foo'])(
  'an offer of %s is ignored',
  async (offer) => {
    const lines = `Host: ops.example\r\nUpgrade: ${offer}\r\nConnection: Upgrade\r\n`;
    expect(await send('GET /dashboard/login', lines)).toBe(200);
  },
);

test.each([
  ['http://ops.example', 'ops.example', 303],
  ['http://ops.example', 'ops.example:80', 303],
  ['http://ops.example', 'ops.example.:', 303],
  ['https://ops.example', 'OPS.example:443', 303],
  ['http://ops.example:8082', 'ops.example:8082', 303],
  ['http://ops.example:8083', 'ops.example:8082', 403],
  ['http://ops.example', 'ops.example:8082', 403],
  ['http://evil.example', 'ops.example', 403],
  ['null', 'ops.example', 403],
])('a login from a page of %s to %s: %i', async (origin, host, status) => {
  const body = `token=${TOKEN}&next=`;
  const lines =
    `Origin: ${origin}\r\nContent-Type: application/x-www-form-urlencoded\r\n` +
    `Content-Length: ${body.length}\r\n`;
  const offer = 'Upgrade: h2c\r\nConnection: Upgrade\r\n';
  expect(await send('POST /dashboard/login', `Host: ${host}\r\n${lines}`, body)).toBe(status);
  const absolute = `POST http://${host}/dashboard/login`;
  expect(await send(absolute, `Host: evil.example\r\n${offer}${lines}`, body)).toBe(status);
});
