import { readdirSync } from 'node:fs';
import { waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { open, send, statusOf } from './raw.ts';
import { type Fixture, startFixture } from './fixture.ts';
import { OK, startUpstream, type Upstream } from './upstream.ts';

// Many clients disconnect at the worst moment. They must leave nothing behind.

let fixture: Fixture;
let upstream: Upstream;
beforeAll(async () => {
  fixture = await startFixture({ idleTimeout: 200 });
  upstream = await startUpstream(({ socket }, chunk) => {
    if (chunk.includes('/whole')) socket.write(OK);
    if (chunk.includes('/half')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
    if (chunk.includes('/switch')) socket.write('HTTP/1.1 101 Switching Protocols\r\n');
  });
});
afterAll(async () => {
  await fixture.stop();
  await upstream.stop();
});

/** Open descriptors of this process, which runs the data plane, its clients and its upstreams. */
const descriptors = () => readdirSync('/proc/self/fd').length;

const lines = 'Host: a\r\n';
const upgrade =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

test.each([
  ['before an answer', (id: string) => `GET /demo/${id}/none HTTP/1.1\r\n${lines}\r\n`],
  ['within an answer', (id: string) => `GET /demo/${id}/half HTTP/1.1\r\n${lines}\r\n`],
  ['behind an answer', (id: string) => `GET /demo/${id}/whole HTTP/1.1\r\n${lines}\r\n`],
  [
    'in a body',
    (id: string) => `POST /demo/${id}/none HTTP/1.1\r\n${lines}Content-Length: 9\r\n\r\nhalf`,
  ],
  ['within a head', (id: string) => `GET /demo/${id}/none HTTP/1.1\r\n`],
  ['before a 101', (id: string) => `GET /demo/${id}/none HTTP/1.1\r\n${lines}${upgrade}\r\n`],
  ['within a 101', (id: string) => `GET /demo/${id}/switch HTTP/1.1\r\n${lines}${upgrade}\r\n`],
])('400 clients that disconnect %s leave nothing behind', async (_name, request) => {
  const id = await fixture.ready(upstream.port);
  await send(fixture.port, `GET /demo/${id}/whole HTTP/1.1\r\n${lines}\r\n`);
  const before = descriptors();
  for (let i = 0; i < 20; i++) {
    const batch = Array.from({ length: 20 }, () => open(fixture.port));
    for (const [index, raw] of batch.entries()) {
      raw.send(request(id));
      // Some disconnect at once, some in order, some with a reset, some a little later.
      if (index % 4 === 0) raw.socket.resetAndDestroy();
      if (index % 4 === 1) raw.socket.end();
    }
    await new Promise((resolve) => setTimeout(resolve, i));
    for (const [index, raw] of batch.entries()) {
      if (index % 4 === 2) raw.socket.resetAndDestroy();
      else raw.socket.destroy();
    }
    await Promise.all(batch.map((raw) => raw.untilClosed()));
  }
  await waitFor('nothing in flight', () => fixture.dataPlane.inFlight() === 0);
  await waitFor('no tunnel', () => fixture.dataPlane.openTunnels() === 0);
  // Idle upstream connections are closed after their timeout. This test closes the upstream's side
  // of half-open ones.
  for (const connection of upstream.connections) connection.socket.destroy();
  await waitFor('no descriptor', () => descriptors() <= before);
  expect(statusOf(await send(fixture.port, `GET /demo/${id}/whole HTTP/1.1\r\n${lines}\r\n`))).toBe(
    200,
  );
});
