import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { waitFor } from '@ephemera/test-support';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { ACCEPT, handshake, SWITCH } from './handshake.ts';
import { open, statusOf } from './raw.ts';
import { newGeneration, type Fixture, startFixture } from './fixture.ts';
import { startUpstream, type Upstream } from './upstream.ts';

// WebSockets go through http-proxy; the data plane closes its gaps. Each test names one.

let fixture: Fixture;
let upstream: Upstream;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  fixture = await startFixture({ responseTimeout: 500 });
});
afterAll(() => fixture.stop());
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await waitFor('all tunnels to close', () => fixture.dataPlane.openTunnels() === 0);
});

async function behind(...behaviour: Parameters<typeof startUpstream>): Promise<string> {
  upstream = await startUpstream(...behaviour);
  cleanups.push(() => upstream.stop());
  return fixture.ready(upstream.port);
}

/** An upstream that switches protocols and then echoes. */
const echoing = () =>
  behind(({ socket }, chunk) => {
    const end = chunk.indexOf('\r\n\r\n');
    if (chunk.startsWith('GET ')) socket.write(SWITCH + chunk.slice(end + 4), 'latin1');
    else socket.write(chunk, 'latin1');
  });

/** A real WebSocket server behind the data plane, and the URL for a client. */
async function webSockets(options: ConstructorParameters<typeof WebSocketServer>[0] = {}) {
  const http: Server = createServer();
  const server = new WebSocketServer({ ...options, server: http });
  await new Promise<void>((resolve) => http.listen(0, '127.0.1.1', resolve));
  cleanups.push(() => {
    for (const client of server.clients) client.terminate();
    http.closeAllConnections();
    return new Promise((resolve) => http.close(resolve));
  });
  const id = await fixture.ready((http.address() as AddressInfo).port);
  return { id, server, url: `ws://127.0.0.1:${fixture.port}/demo/${id}/` };
}

describe('forwarding', () => {
  test('the handshake: the raw target, the fields, the subprotocol and the extension', async () => {
    const { server, url } = await webSockets({
      perMessageDeflate: { threshold: 0 },
      handleProtocols: () => 'second',
    });
    const connected = once(server, 'connection');
    const client = new WebSocket(`${url}a//b?c=%20`, ['first', 'second'], {
      headers: { 'X-Own': ['1', '2'], Cookie: 'a=1' },
    });
    cleanups.push(() => client.terminate());
    await once(client, 'open');
    const [, request] = (await connected) as [WebSocket, { url: string; rawHeaders: string[] }];
    expect(request.url).toBe('/a//b?c=%20');
    expect(request.rawHeaders.join('|')).toMatch(/X-Own\|1\|[^]*X-Own\|2/);
    expect(request.rawHeaders.join('|')).toMatch(/x-forwarded-for\|127\.0\.0\.1/);
    expect(client.protocol).toBe('second');
    expect(client.extensions).toContain('permessage-deflate');
  });

  test('frames of any size, both ways, and the close with its code', async () => {
    const { server, url } = await webSockets({ maxPayload: 64 * 1024 * 1024 });
    server.on('connection', (socket) => {
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    });
    const client = new WebSocket(url, { maxPayload: 64 * 1024 * 1024 });
    await once(client, 'open');
    for (const size of [0, 1, 125, 126, 65_535, 65_536, 16 * 1024 * 1024]) {
      const message = randomBytes(size);
      client.send(message);
      const [echo] = (await once(client, 'message')) as [Buffer];
      expect(echo.equals(message)).toBe(true);
    }
    for (const socket of server.clients) socket.close(4321, 'enough');
    const [code, reason] = (await once(client, 'close')) as [number, Buffer];
    expect([code, reason.toString()]).toEqual([4321, 'enough']);
  });

  test('the fields of the 101, a cookie rewritten among them', async () => {
    const id = await behind(({ socket }) => {
      socket.write(SWITCH.replace('\r\n\r\n', '\r\nSet-Cookie: a=1; Path=/\r\nX-Own: 1\r\n\r\n'));
    });
    const raw = open(fixture.port);
    raw.send(handshake(id));
    await raw.until(/\r\n\r\n/);
    raw.socket.destroy();
    expect(raw.received).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n/);
    expect(raw.received).toMatch(new RegExp(`set-cookie: a=1; Path=/demo/${id}/\r\n`, 'i'));
    expect(raw.received).toMatch(/x-own: 1\r\n/i);
  });

  test('bytes right after the handshake and right after the 101', async () => {
    const id = await behind(({ socket }, chunk) => {
      if (chunk.startsWith('GET ')) socket.write(`${SWITCH}early`);
    });
    const raw = open(fixture.port);
    raw.send(`${handshake(id)}eager`);
    await raw.until(/early$/);
    await waitFor('what came behind the handshake', () => upstream.received.endsWith('eager'));
    raw.socket.destroy();
  });

  test('each side can end before the other', async () => {
    for (const first of ['client', 'instance'] as const) {
      const id = await echoing();
      const raw = open(fixture.port);
      raw.send(handshake(id));
      await raw.until(/\r\n\r\n$/);
      const { socket } = await waitFor('a connection', () => upstream.connections[0]);
      const [early, late] = first === 'client' ? [raw.socket, socket] : [socket, raw.socket];
      raw.socket.removeAllListeners('end');
      const ended = once(late, 'end');
      early.end('last words');
      await ended;
      late.write('an answer');
      const heard = first === 'client' ? () => raw.received : () => upstream.received;
      await waitFor('the answer', () => heard().endsWith('an answer'));
      late.end();
      await once(raw.socket, 'close');
    }
  });
});

describe('responses other than 101', () => {
  test.each([
    ['a length', 'HTTP/1.1 403 No\r\nContent-Length: 4\r\nX-Own: 1\r\n\r\nnope', /\r\n\r\nnope$/],
    [
      'chunks, which http-proxy would send without framing',
      'HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\nX-Own: 1\r\n\r\n4\r\nnope\r\n0\r\n\r\n',
      /Transfer-Encoding: chunked[^]*\r\n\r\n4\r\nnope\r\n0\r\n\r\n$/,
    ],
    ['the close', 'HTTP/1.1 403 No\r\nX-Own: 1\r\n\r\nnope', /nope/],
  ])('framed by %s', async (_name, answer, pattern) => {
    const id = await behind(({ socket }) => socket.end(answer));
    const raw = open(fixture.port);
    raw.send(handshake(id) + handshake(id, 'smuggled'));
    const received = await raw.untilClosed();
    expect(received).toMatch(/^HTTP\/1\.1 403 No\r\n/);
    expect(received).toMatch(/X-Own: 1\r\n/);
    expect(received).toMatch(/\r\nConnection: close\r\n/);
    expect(received).toMatch(pattern);
    expect(upstream.received).not.toContain('smuggled');
  });

  test('an incomplete body reaches the client as an abort', async () => {
    const id = await behind(({ socket }) => {
      socket.end('HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nno');
    });
    const raw = open(fixture.port);
    raw.send(handshake(id));
    expect(await raw.untilClosed()).not.toMatch(/0\r\n\r\n$/);
  });
});

describe('an instance that breaks the handshake', () => {
  test.each([
    ['accepts another key', SWITCH.replace(ACCEPT, 'AAAAAAAAAAAAAAAAAAAAAAAAAAA=')],
    ['switches to something else', SWITCH.replace('Upgrade: websocket', 'Upgrade: h2c')],
    ['answers with status 000', 'HTTP/1.1 000 Zero\r\nContent-Length: 0\r\n\r\n'],
    ['answers with status 099', 'HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n'],
    ['has a control byte in its reason', 'HTTP/1.1 403 N\x01o\r\nContent-Length: 0\r\n\r\n'],
    ['answers what is no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
    ['answers a storm of 1xx', 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(100) + SWITCH],
    ['closes', ''],
  ])('%s: 502', async (_name, answer) => {
    const id = await behind(({ socket }) => socket.end(answer));
    const raw = open(fixture.port);
    raw.send(handshake(id));
    expect(statusOf(await raw.untilClosed())).toBe(502);
    await waitFor('the connection to close', () => upstream.connections.every((c) => c.left));
  });

  test('sends nothing: 504, where http-proxy would wait forever', async () => {
    const id = await behind(() => undefined);
    const raw = open(fixture.port);
    raw.send(handshake(id));
    expect(statusOf(await raw.untilClosed())).toBe(504);
    await waitFor('the connection to close', () => upstream.connections.every((c) => c.left));
  });

  test('does not listen: 502', async () => {
    const id = await behind(() => undefined);
    await upstream.stop();
    const raw = open(fixture.port);
    raw.send(handshake(id));
    expect(statusOf(await raw.untilClosed())).toBe(502);
  });
});

describe('informational responses before the 101', () => {
  test('forty at once', async () => {
    const early = 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(40);
    const id = await behind(({ socket }) => void socket.write(early + SWITCH));
    const raw = open(fixture.port);
    raw.send(handshake(id));
    expect(await raw.until(/\r\n\r\n$/)).toMatch(/^HTTP\/1\.1 101 /);
    raw.socket.destroy();
  });

  test('while they come, the response timeout does not end the handshake', async () => {
    const id = await behind(({ socket }) => {
      let left = 10;
      const timer = setInterval(() => {
        socket.write(left-- > 0 ? 'HTTP/1.1 102 Processing\r\n\r\n' : SWITCH);
        if (left < 0) clearInterval(timer);
      }, 100);
      socket.once('close', () => clearInterval(timer));
    });
    const raw = open(fixture.port);
    raw.send(handshake(id));
    expect(await raw.until(/\r\n\r\n$/)).toMatch(/^HTTP\/1\.1 101 /);
    raw.socket.destroy();
  });

  test('more than 1 MiB: 502', async () => {
    const early = `HTTP/1.1 103 Early\r\nX: ${'a'.repeat(15_000)}\r\n\r\n`;
    const id = await behind(({ socket }) => {
      let left = 100;
      const timer = setInterval(() => {
        if (left-- > 0) socket.write(early);
      }, 100);
      socket.write(early.repeat(49));
      socket.once('close', () => clearInterval(timer));
    });
    const raw = open(fixture.port);
    raw.send(handshake(id));
    await raw.until(/^HTTP\/1\.1 502 /);
    raw.socket.destroy();
  });
});

describe('one side dies', () => {
  test.each(['resets', 'ends'] as const)(
    'a client that %s before the 101 does not end the process, and the instance sees it within 200 ms',
    async (how) => {
      const id = await behind(() => undefined);
      const raw = open(fixture.port);
      raw.send(handshake(id));
      await waitFor('the handshake', () => upstream.received.includes('\r\n\r\n'));
      const before = performance.now();
      if (how === 'resets') raw.socket.resetAndDestroy();
      else raw.socket.end();
      await waitFor('the upstream to close', () => upstream.connections[0]?.left);
      expect(performance.now() - before).toBeLessThan(200);
    },
  );

  test('a client that resets during the upstream connect leaves no socket', async () => {
    const id = await behind(() => undefined);
    for (let i = 0; i < 20; i++) {
      const raw = open(fixture.port);
      raw.socket.once('connect', () => {
        raw.socket.write(handshake(id), () => raw.socket.resetAndDestroy());
      });
      await raw.untilClosed();
    }
    await waitFor('all connections to close', () => upstream.connections.every((c) => c.left));
  });

  test.each(['ends', 'resets'] as const)(
    'a client that %s closes the instance’s side too',
    async (how) => {
      const id = await echoing();
      const raw = open(fixture.port);
      raw.send(handshake(id));
      await raw.until(/\r\n\r\n$/);
      raw.socket.pause();
      if (how === 'ends') raw.socket.destroy();
      else raw.socket.resetAndDestroy();
      await waitFor('the upstream to close', () => upstream.connections[0]?.left);
      upstream.connections[0]?.socket.destroy();
    },
  );

  test('an instance that resets closes the client’s side too', async () => {
    const id = await echoing();
    const raw = open(fixture.port);
    raw.send(handshake(id));
    await raw.until(/\r\n\r\n$/);
    upstream.connections[0]?.socket.resetAndDestroy();
    await raw.untilClosed();
  });

  test('the end of a generation closes its tunnels', async () => {
    const id = await echoing();
    const raw = open(fixture.port);
    raw.send(handshake(id));
    await raw.until(/\r\n\r\n$/);
    await fixture.put(id, { state: 'draining', generation: newGeneration(), reason: 'request' });
    // At once, by the invalidation, not at the next check of the route.
    await waitFor('both sides to end', () => raw.closed && upstream.connections[0]?.left, 2_000);
  });

  test('the deadline closes tunnels, without any other process', async () => {
    await echoing();
    const id = await fixture.ready(upstream.port, { lifetime: 400 });
    const raw = open(fixture.port);
    raw.send(handshake(id));
    await raw.until(/\r\n\r\n$/);
    await raw.untilClosed();
  });

  test('a renewal keeps them', async () => {
    await echoing();
    const generation = newGeneration();
    const id = await fixture.ready(upstream.port, { generation, lifetime: 600 });
    const raw = open(fixture.port);
    raw.send(handshake(id));
    await raw.until(/\r\n\r\n$/);
    const route = JSON.parse((await fixture.redis.get(fixture.keys.route(id))) ?? '') as {
      expiresAt: number;
    };
    await fixture.redis.set(
      fixture.keys.route(id),
      JSON.stringify({ ...route, expiresAt: route.expiresAt + 60_000 }),
    );
    await new Promise((resolve) => setTimeout(resolve, 900));
    raw.send('still there');
    await raw.until(/still there$/);
    raw.socket.destroy();
  });
});

test('a handshake after a refused request is not processed', async () => {
  const id = await echoing();
  const raw = open(fixture.port);
  raw.send(`GET /demo/${id}/../ HTTP/1.1\r\nHost: a\r\n\r\n${handshake(id)}`);
  expect(statusOf(await raw.untilClosed())).toBe(400);
  expect(upstream.connections).toHaveLength(0);
});

describe('without an open route', () => {
  test.each([
    ['an id that nobody has', 'abcdefghijklmnopqrstuvwxyz', 404],
    ['no id', 'new', 404],
  ])('%s', async (_name, id, status) => {
    const raw = open(fixture.port);
    raw.send(handshake(id));
    expect(statusOf(await raw.untilClosed())).toBe(status);
  });

  test('an instance that has ended', async () => {
    const id = await fixture.ready(1);
    await fixture.put(id, { state: 'gone', generation: newGeneration(), reason: 'ttl' });
    const raw = open(fixture.port);
    raw.send(handshake(id));
    expect(statusOf(await raw.untilClosed())).toBe(410);
  });

  test('a starting instance: the handshake waits', async () => {
    const ready = await echoing();
    const route = (await fixture.redis.get(fixture.keys.route(ready))) ?? '';
    const id = await fixture.ready(1);
    await fixture.put(id, { state: 'starting', generation: newGeneration() });
    const raw = open(fixture.port);
    raw.send(handshake(id));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(raw.received).toBe('');
    await fixture.redis.set(fixture.keys.route(id), route);
    await raw.until(/^HTTP\/1\.1 101 /);
    raw.socket.destroy();
  });
});
