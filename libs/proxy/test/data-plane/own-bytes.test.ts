import { createHash } from 'node:crypto';
import { waitFor } from '@ephemera/test-support';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { open, type Raw } from './raw.ts';
import { type Fixture, startFixture } from './fixture.ts';
import { startUpstream } from './upstream.ts';

// All upstream sockets share one read buffer. Bytes that wait for a slow client must be copied;
// otherwise the bytes of another instance would overwrite them.

let fixture: Fixture;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  fixture = await startFixture();
});
afterAll(() => fixture.stop());
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const BLOCK = 64 * 1024;
/** More than all socket buffers on the path can hold. */
const BLOCKS = 256;
const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = createHash('sha1')
  .update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
  .digest('base64');
const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
  `Sec-WebSocket-Key: ${KEY}\r\n`;
const SWITCH =
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
  `Sec-WebSocket-Accept: ${ACCEPT}\r\n\r\n`;
const PLAIN = `HTTP/1.1 200 OK\r\nContent-Length: ${BLOCK * BLOCKS}\r\n\r\n`;

const blockOf = (name: string, index: number) => Buffer.alloc(BLOCK, `${name}${index} `);

/** An instance that sends its own blocks as fast as they are accepted. */
async function instance(name: string, head: string) {
  let sent = 0;
  const upstream = await startUpstream(({ socket }) => {
    if (sent > 0) return;
    socket.write(head, 'latin1');
    const more = () => {
      while (sent < BLOCKS) if (!socket.write(blockOf(name, sent++))) return;
    };
    socket.on('drain', more);
    more();
  });
  cleanups.push(() => upstream.stop());
  return { id: await fixture.ready(upstream.port), sent: () => sent };
}

test.each([
  ['answers', PLAIN, ''],
  ['tunnels', SWITCH, UPGRADE],
])('%s for slow clients contain no bytes of other instances', async (_, head, lines) => {
  const instances = await Promise.all(['A', 'B', 'C'].map((name) => instance(name, head)));
  const clients = instances.map(({ id }): Raw => {
    const client = open(fixture.port);
    cleanups.push(() => client.socket.destroy());
    client.socket.pause();
    client.send(`GET /demo/${id}/ HTTP/1.1\r\nHost: a.example\r\n${lines}\r\n`);
    return client;
  });
  let before = '';
  await waitFor('all to be held up', async () => {
    const now = instances.map(({ sent }) => sent()).join(' ');
    await new Promise((resolve) => setTimeout(resolve, 150));
    const isHeld = now === before && instances.every(({ sent }) => sent() > 0);
    before = now;
    return isHeld;
  });
  expect(instances.map(({ sent }) => sent() < BLOCKS)).toEqual([true, true, true]);
  for (const { socket } of clients) socket.resume();
  for (const [index, name] of ['A', 'B', 'C'].entries()) {
    const received = () => clients[index]?.received ?? '';
    const start = () => received().indexOf('\r\n\r\n') + 4;
    await waitFor('all of it', () => received().length >= start() + BLOCK * BLOCKS, 30_000);
    const wanted = Array.from({ length: BLOCKS }, (__, at) => blockOf(name, at));
    expect(digest(Buffer.from(received().slice(start()), 'latin1'))).toBe(
      digest(Buffer.concat(wanted)),
    );
  }
});

function digest(bytes: Buffer): string {
  return createHash('sha1').update(bytes).digest('hex');
}
