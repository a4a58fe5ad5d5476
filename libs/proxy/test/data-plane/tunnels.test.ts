import { setTimeout as sleep } from 'node:timers/promises';
import { isFailure } from '@ephemera/domain';
import { waitFor } from '@ephemera/test-support';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { handshake, SWITCH } from './handshake.ts';
import { open, type Raw, sendUntilBackpressure } from './raw.ts';
import { type Fixture, HOST, startFixture } from './fixture.ts';
import { ROUTE_RECHECK_MS } from '../../src/data-plane/limits.ts';
import { answering, startUpstream, type Upstream } from './upstream.ts';

// Fields and bytes of a handshake, in both directions: every byte arrives once and unchanged, and
// backpressure applies.

let fixture: Fixture;
let upstream: Upstream;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  fixture = await startFixture({ clientTimeout: 500 });
});
afterAll(() => fixture.stop());
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await waitFor('all tunnels to close', () => fixture.dataPlane.openTunnels() === 0);
});

/** More than all socket buffers on the path can hold. */
const SIZE = 32 * 1024 * 1024;

async function behind(...behaviour: Parameters<typeof startUpstream>): Promise<string> {
  upstream = await startUpstream(...behaviour);
  cleanups.push(() => upstream.stop());
  return fixture.ready(upstream.port);
}

/** A client's handshake, with bytes after it. */
function shake(id: string, lines = '', behindIt = ''): Raw {
  const raw = open(fixture.port);
  cleanups.push(() => raw.socket.destroy());
  raw.send(handshake(id, '', lines) + behindIt);
  return raw;
}

const switching = (lines: string) => SWITCH.replace(/\r\n$/, `${lines}\r\n`);

describe('the fields', () => {
  test.each(['Content-Length: 5', 'Transfer-Encoding: chunked'])(
    'of a 101 are forwarded without its %s',
    async (field) => {
      const raw = shake(await behind(answering(`${switching(`X-Own: 1\r\n${field}\r\n`)}early`)));
      await raw.until(/\r\n\r\nearly$/);
      expect(raw.received).toMatch(/\r\nX-Own: 1\r\n/);
      expect(raw.received).not.toMatch(/content-length|transfer-encoding/i);
    },
  );

  test.each(['Content-Length: 5', 'Transfer-Encoding: chunked'])(
    'of a 204 are forwarded without its %s',
    async (field) => {
      const raw = shake(await behind(answering(`HTTP/1.1 204 No\r\nX-Own: 1\r\n${field}\r\n\r\n`)));
      expect(await raw.untilClosed()).toMatch(/^HTTP\/1\.1 204 No\r\nX-Own: 1\r\n/);
      expect(raw.received).not.toMatch(/content-length|transfer-encoding/i);
    },
  );

  test('of a handshake all arrive, also when repeated in another case', async () => {
    const id = await behind(answering(SWITCH));
    const raw = shake(id, 'Cookie: a=1\r\nX-Own: 1\r\ncookie: b=2\r\nx-own: 2\r\nX-OWN: 3\r\n');
    await raw.until(/\r\n\r\n$/);
    expect(upstream.received).toMatch(/^Cookie: a=1; b=2\r$/m);
    expect(upstream.received.match(/^X-Own: \d\r$/gim)).toHaveLength(3);
  });

  test('of a 101 all arrive, also when repeated in another case', async () => {
    const raw = shake(await behind(answering(switching('Set-Cookie: a=1\r\nset-cookie: b=2\r\n'))));
    await raw.until(/\r\n\r\n$/);
    expect(raw.received.match(/^set-cookie: [ab]=\d\r$/gim)).toHaveLength(2);
  });

  test('arrive unchanged, also above 7 bits', async () => {
    const id = await behind(answering(switching('X-Own: gr\xfc\xc3\xbc\xdf\r\n')));
    const raw = shake(id, 'X-Own: \xe4\xc3\xa4\r\n');
    await raw.until(/\r\n\r\n$/);
    expect(raw.received).toContain('X-Own: gr\xfc\xc3\xbc\xdf\r\n');
    expect(upstream.received).toContain('X-Own: \xe4\xc3\xa4\r\n');
  });
});

describe('a long response other than 101', () => {
  const long = (framing: string, body: Buffer | string) =>
    behind(({ socket }) => {
      socket.write(`HTTP/1.1 200 OK\r\n${framing}\r\n\r\n`);
      socket.write(body);
    });

  test('reaches a client in full', async () => {
    const raw = shake(await long(`Content-Length: ${SIZE}`, Buffer.alloc(SIZE, 'x')));
    await raw.untilClosed();
    expect(raw.received.length - raw.received.indexOf('\r\n\r\n') - 4).toBe(SIZE);
  });

  test('a client that accepts nothing for too long is disconnected, and so is its instance', async () => {
    const raw = open(fixture.port);
    cleanups.push(() => raw.socket.destroy());
    raw.socket.pause();
    raw.send(handshake(await long(`Content-Length: ${SIZE}`, Buffer.alloc(SIZE))));
    await waitFor('a connection', () => upstream.connections.length === 1);
    await waitFor('the instance to be let go', () => upstream.connections[0]?.left);
    await waitFor('the client to be let go', () => fixture.dataPlane.openTunnels() === 0);
  });
});

describe('bytes of the client', () => {
  test('right after the handshake arrive once, when another generation takes over', async () => {
    const id = await behind(answering(SWITCH));
    const old = upstream;
    const next = await behind(({ socket }, chunk) => {
      if (chunk.startsWith('GET ')) socket.write(SWITCH);
    });
    const route = (await fixture.redis.get(fixture.keys.route(next))) ?? '';
    // After the connection opens and before its route is confirmed.
    const confirm = fixture.routes.confirm.bind(fixture.routes);
    fixture.routes.confirm = async (asked) => {
      fixture.routes.confirm = confirm;
      await fixture.redis.set(fixture.keys.route(id), route);
      return await confirm(asked);
    };
    const raw = shake(id, '', 'eager');
    await raw.until(/^HTTP\/1\.1 101 [^]*\r\n\r\n$/);
    raw.send(' and later');
    await waitFor('all of it', () => upstream.received.endsWith('and later'));
    expect(upstream.received).toMatch(/\r\n\r\neager and later$/);
    expect(old.connections).toHaveLength(1);
    expect(old.received).toBe('');
  });

  test('wait for an instance that does not read, and continue with it', async () => {
    const id = await behind(({ socket }, chunk) => {
      if (!chunk.startsWith('GET ')) return;
      socket.pause().removeAllListeners('data');
      socket.write(SWITCH);
    });
    const raw = shake(id);
    await raw.until(/\r\n\r\n$/);
    const sent = await sendUntilBackpressure(raw, SIZE);
    expect(sent()).toBeLessThan(SIZE / 2);
    let received = 0;
    upstream.connections[0]?.socket.on('data', (data) => (received += data.length)).resume();
    await waitFor('all of it', () => received === SIZE, 30_000);
    expect(sent()).toBe(SIZE);
  });
});

test('a tunnel stays open while its host restores the instance after a loss of all data', async () => {
  const { redis, keys, routes } = fixture;
  const id = await behind(answering(SWITCH));
  const raw = shake(id);
  await raw.until(/\r\n\r\n$/);
  const names = [keys.route(id), keys.registration(HOST), keys.dataset];
  const saved = await redis.mget(names);
  await redis.flushall();
  const isRebuilding = () =>
    routes.find(id).catch((error: unknown) => isFailure(error, 'rebuilding'));
  await waitFor('the loss', async () => (await isRebuilding()) === true);
  // Longer than the lease of a route, and than the interval of the checks of an open connection.
  await sleep(ROUTE_RECHECK_MS + 1_500);
  expect([await isRebuilding(), raw.closed]).toEqual([true, false]);
  await redis.mset(Object.fromEntries(names.map((name, index) => [name, saved[index] ?? ''])));
  await waitFor('the route', async () => (await routes.find(id))?.route.state === 'ready');
  upstream.connections[0]?.socket.write('still here');
  await raw.until(/still here$/);
});
