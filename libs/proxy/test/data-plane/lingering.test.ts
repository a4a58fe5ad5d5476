import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:net';
import { waitFor } from '@ephemera/test-support';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Fixture, newId, startFixture } from './fixture.ts';
import { open } from './raw.ts';
import { startUpstream, type Upstream } from './upstream.ts';

// A connection that is closed with unread input is reset, and the reset discards a response that the
// client has not read yet. Each client here sends its whole upload before it reads its response.

const SIZE = 4 << 20;
const TRIES = 5;

let fixture: Fixture;
let upstream: Upstream | undefined;

beforeAll(async () => {
  fixture = await startFixture({ linger: { silence: 500, total: 1_500 } });
});
afterAll(() => fixture.stop());
afterEach(async () => {
  await upstream?.stop();
  upstream = undefined;
});

/** Sends a head and `SIZE` bytes, and then reads. Returns what was received, or the error. */
async function uploadThenRead(port: number, head: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const { promise, resolve } = Promise.withResolvers<string>();
  let received = '';
  socket.on('error', (error: NodeJS.ErrnoException) => resolve(received || `${error.code}`));
  socket.on('close', () => resolve(received));
  socket.write(head, 'latin1');
  const piece = Buffer.alloc(64 << 10, 'x');
  for (let sent = 0; sent < SIZE; sent += piece.length) {
    if (!socket.write(piece)) {
      await Promise.race([promise, new Promise((drained) => socket.once('drain', drained))]);
    }
  }
  socket.on('data', (data) => (received += data.toString('latin1')));
  socket.on('end', () => socket.end());
  return await promise;
}

async function statuses(head: string): Promise<string[]> {
  const all: string[] = [];
  for (let i = 0; i < TRIES; i++) {
    const received = await uploadThenRead(fixture.port, head);
    all.push(/^HTTP\/1\.1 (\d{3})/.exec(received)?.[1] ?? received);
  }
  return all;
}

const always = (status: string) => Array.from({ length: TRIES }, () => status);
const length = `Content-Length: ${SIZE}\r\n`;
const chunks = `Transfer-Encoding: chunked\r\n\r\n${SIZE.toString(16)}\r\n`;
const unknown = `/demo/${newId()}/`;
const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 1\r\n';

describe('a response of the proxy to an upload is delivered', () => {
  test.each([
    [
      '404',
      'a client that closes',
      `PUT ${unknown} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${length}\r\n`,
    ],
    ['404', 'HTTP/1.0, as nginx sends it', `PUT ${unknown} HTTP/1.0\r\nHost: a\r\n${length}\r\n`],
    ['404', 'chunks', `PUT ${unknown} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${chunks}`],
    [
      '404',
      'Expect',
      `PUT ${unknown} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n${length}\r\n`,
    ],
    [
      '404',
      'a path of no instance',
      `PUT /other HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${length}\r\n`,
    ],
    ['400', 'two hosts', `PUT ${unknown} HTTP/1.1\r\nHost: a\r\nHost: b\r\n${length}\r\n`],
    ['417', 'an expectation', `PUT ${unknown} HTTP/1.1\r\nHost: a\r\nExpect: x\r\n${length}\r\n`],
    ['400', 'a malformed head', `PUT ${unknown} HTTP/1.1\r\nHost: a\r\nX Y: b\r\n${length}\r\n`],
    [
      '431',
      'a large head',
      `PUT ${unknown} HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(40_000)}\r\n${length}\r\n`,
    ],
    ['405', 'CONNECT', 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n'],
    [
      '400',
      'an upgrade with a body',
      `GET ${unknown} HTTP/1.1\r\nHost: a\r\n${upgrade}${length}\r\n`,
    ],
  ])(
    '%s, %s',
    async (status, _, head) => {
      expect(await statuses(head)).toEqual(always(status));
    },
    60_000,
  );

  test('400, a malformed chunk', async () => {
    upstream = await startUpstream(() => undefined);
    const id = await fixture.ready(upstream.port);
    const head = `PUT /demo/${id}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`;
    expect(await statuses(head)).toEqual(always('400'));
    const asked = upstream.connections.filter(({ received }) => received !== '');
    await waitFor('the instance to be let go', () => asked.every((c) => c.left), 20_000);
    expect(fixture.dataPlane.inFlight()).toBe(0);
  }, 60_000);

  test('408, a body that stops', async () => {
    upstream = await startUpstream(() => undefined);
    const quick = await startFixture({
      responseTimeout: 300,
      linger: { silence: 300, total: 900 },
    });
    try {
      const id = await quick.ready(upstream.port);
      const client = open(quick.port);
      client.send(`PUT /demo/${id}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab`);
      await client.until(/^HTTP\/1\.1 408 /);
      client.send('cdefghi');
      await client.untilClosed();
      expect(client.error).toBeUndefined();
    } finally {
      await quick.stop();
    }
  });
});

describe('an early response of an instance is delivered', () => {
  const answer = (fields: string, version = '1.1') =>
    `HTTP/${version} 413 Payload Too Large\r\n${fields}\r\ntoo big\n`;
  const closing = answer('Content-Length: 8\r\nConnection: close\r\n');
  const old = answer('Content-Length: 8\r\n', '1.0');
  const unframed = answer('', '1.0');

  test.each([
    ['reads on', closing, 'end', length],
    ['reads on', old, 'end', length],
    ['reads on', unframed, 'end', length],
    ['reads on', closing, 'end', chunks],
    ['closes with unread input', closing, 'destroy', length],
    ['closes with unread input', old, 'destroy', chunks],
    ['resets a little later', closing, 'reset', length],
    ['keeps the connection', answer('Content-Length: 8\r\n'), 'keep', length],
  ])(
    'which %s: %j by %s',
    async (_, response, how, framing) => {
      upstream = await startUpstream(({ socket }, chunk) => {
        if (!chunk.startsWith('PUT ')) return;
        if (how === 'destroy' || how === 'reset') socket.pause();
        socket.write(response, () => {
          if (how === 'end') socket.end();
          else if (how === 'destroy') socket.destroy();
          else if (how === 'reset') setTimeout(() => socket.resetAndDestroy(), 20);
        });
      });
      const id = await fixture.ready(upstream.port);
      for (const version of ['1.0', '1.1'].slice(framing === chunks ? 1 : 0)) {
        const end = framing === chunks ? '' : '\r\n';
        const head = `PUT /demo/${id}/ HTTP/${version}\r\nHost: a\r\nConnection: close\r\n${framing}${end}`;
        expect(await statuses(head)).toEqual(always('413'));
      }
      // Otherwise nothing would have been sent in full.
      expect(upstream.connections.length).toBeGreaterThanOrEqual(TRIES);
    },
    120_000,
  );
});

describe('the close behind a response', () => {
  const head = `PUT ${unknown} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${length}\r\n`;

  test('shuts the write side first, and comes when the client has been silent', async () => {
    const client = open(fixture.port);
    client.socket.removeAllListeners('end');
    client.send(head);
    await client.until(/^HTTP\/1\.1 404 /);
    const before = performance.now();
    for (let i = 0; i < 7; i++) {
      await sleep(100);
      client.send('x');
    }
    expect(client.error).toBeUndefined();
    await waitFor('the end', () => fixture.dataPlane.lingering.size === 0, 5_000);
    // Seven bytes in 700 ms, and then 500 ms without a byte.
    expect(performance.now() - before).toBeGreaterThan(1_100);
    client.socket.destroy();
  });

  test('comes at the total limit, whatever the client sends', async () => {
    const client = open(fixture.port);
    client.socket.removeAllListeners('end');
    client.send(head);
    await client.until(/^HTTP\/1\.1 404 /);
    const timer = setInterval(() => client.send('x'), 50);
    const before = performance.now();
    await client.untilClosed();
    clearInterval(timer);
    expect(performance.now() - before).toBeLessThan(5_000);
  });

  test('bounds the rest of an upload whose connection stays open', async () => {
    const client = open(fixture.port);
    client.send(head.replace('close', 'keep-alive'));
    await client.until(/^HTTP\/1\.1 404 /);
    const before = performance.now();
    for (let i = 0; i < 7; i++) {
      await sleep(100);
      client.send('x');
    }
    await client.untilClosed();
    expect(performance.now() - before).toBeGreaterThan(1_100);
  });

  test('processes no request that follows', async () => {
    upstream = await startUpstream(() => undefined);
    const id = await fixture.ready(upstream.port);
    const client = open(fixture.port);
    client.send(`GET ${unknown} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    await client.until(/^HTTP\/1\.1 404 /);
    client.send(`GET /demo/${id}/ HTTP/1.1\r\nHost: a\r\n\r\n`);
    await client.untilClosed();
    expect(client.received.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    expect(client.error).toBeUndefined();
    expect(upstream.connections).toHaveLength(0);
  });

  test('a pipelined request in front of the refused one gets its response too', async () => {
    const bad = `PUT ${unknown} HTTP/1.1\r\nHost: a\r\nHost: b\r\n${length}\r\n`;
    const received = await uploadThenRead(
      fixture.port,
      `GET ${unknown} HTTP/1.1\r\nHost: a\r\n\r\n${bad}`,
    );
    expect(received.match(/(?<=HTTP\/1\.1 )\d{3}/g)).toEqual(['404', '400']);
  });

  test('is awaited by a drain', async () => {
    const draining = await startFixture({ linger: { silence: 2_000, total: 5_000 } });
    try {
      const client = open(draining.port);
      client.socket.removeAllListeners('end');
      client.send(head);
      await client.until(/^HTTP\/1\.1 404 /);
      let isDrained = false;
      const drained = draining.dataPlane.drain(10_000).then(() => (isDrained = true));
      await sleep(200);
      expect(isDrained).toBe(false);
      client.socket.end();
      await drained;
      await client.untilClosed();
      expect(client.error).toBeUndefined();
    } finally {
      await draining.stop();
    }
  });
});
