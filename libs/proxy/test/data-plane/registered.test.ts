import { connect } from 'node:net';
import { createServer, type Server } from 'node:http';
import type { Endpoint } from '@ephemera/domain';
import type { RouteCache } from '@ephemera/store';
import { waitFor } from '@ephemera/test-support';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  HOST,
  type Fixture,
  newGeneration,
  readyRoute,
  registration,
  startFixture,
  NO_NAMES,
} from './fixture.ts';

// A proxy sends nothing to an address that the host of the route has not registered, because the
// same address may belong to another host.

let server: Server;
let port: number;
let fixture: Fixture;
/** Connections that were opened to the instance. */
let opened: number;
beforeEach(async () => {
  opened = 0;
  server = createServer((_req, res) => res.end('an instance'));
  server.on('connection', () => opened++);
  await new Promise<void>((resolve) => server.listen(0, '127.0.1.1', resolve));
  const address = server.address();
  port = typeof address === 'object' && address !== null ? address.port : 0;
  fixture = await startFixture();
});
afterEach(async () => {
  await fixture.stop();
  server.closeAllConnections();
  server.close();
});

async function get(id: string, from = fixture): Promise<[status: number, body: string]> {
  const answer = await fetch(`http://127.0.0.1:${from.port}/demo/${id}/`, {
    headers: { connection: 'close' },
  });
  return [answer.status, await answer.text()];
}

const register = (...networks: string[]) =>
  fixture.redis.set(fixture.keys.registration(HOST), registration(...networks));

test('a forged route is refused before a connection opens, logged and counted', async () => {
  await register('10.231.0.0/16');
  const id = await fixture.ready(port);
  const [status, body] = await get(id);
  expect(status).toBe(503);
  expect(JSON.parse(body)).toMatchObject({ kind: 'host_unregistered' });
  expect(opened).toBe(0);
  expect(fixture.warnings).toEqual([
    [
      {
        id,
        kind: 'unregistered',
        reason: 'host_unregistered',
        host: HOST,
        address: '127.0.1.1',
      },
      'route refused: its host has not registered a network with this address',
    ],
  ]);
});

test('with the check disabled the forged route is served, so no other check refuses it', async () => {
  await register('10.231.0.0/16');
  const { routes } = fixture;
  const unchecked = {
    peek: (id: string) => routes.peek(id),
    find: (id: string) => routes.find(id),
    confirm: (id: string, host?: string) => routes.confirm(id, host),
    waitFor: (...args: Parameters<RouteCache['waitFor']>) => routes.waitFor(...args),
    ...NO_NAMES,
    onDrop: () => undefined,
    isRegistered: () => Promise.resolve(true),
  };
  const id = await fixture.ready(port);
  const other = await startFixture({ routes: unchecked });
  try {
    expect(await get(id, other)).toEqual([200, 'an instance']);
  } finally {
    await other.stop();
  }
});

test.each([
  ['of a host that is not registered', { host: 'nobody' }],
  ['without a host', { host: undefined as unknown as string }],
  ['with a name for an address', { address: 'localhost' }],
])('a route %s is refused', async (_, more) => {
  const id = await fixture.ready(port, more);
  expect((await get(id))[0]).toBe(503);
  expect(opened).toBe(0);
});

describe('of a host that publishes ports', () => {
  const publishing = (first: number, last: number) => {
    const networks = { boot: 'boot', network: 'network', networks: ['127.0.1.1/32'] };
    const registered = { ...networks, reach: 'published', ports: `${first}-${last}` };
    return fixture.redis.set(fixture.keys.registration(HOST), JSON.stringify(registered));
  };
  /** The container has another address and another port. */
  const route = (at = port) => ({
    ...{ address: '10.231.1.1', port: 8080, ports: { main: 8080, metrics: 9090 } },
    published: { address: '127.0.1.1', ports: { '8080': at } },
  });

  test('the proxy connects to the port that the host publishes', async () => {
    await publishing(port, port);
    expect(await get(await fixture.ready(8080, route()))).toEqual([200, 'an instance']);
  });

  test('a port outside the published ones is refused before a connection opens', async () => {
    await publishing(port + 1, port + 9);
    const id = await fixture.ready(8080, route());
    expect((await get(id))[0]).toBe(503);
    expect(opened).toBe(0);
  });

  test('a port that is not published, and the address of the container, are refused', async () => {
    await publishing(1, 65_535);
    expect((await get(`${await fixture.ready(8080, route())}:metrics`))[0]).toBe(503);
    const bare = await fixture.ready(port, { address: '127.0.1.2' });
    expect((await get(bare))[0]).toBe(503);
    expect(opened).toBe(0);
  });
});

test('an upgrade is refused in the same way', async () => {
  await register();
  const id = await fixture.ready(port);
  const socket = connect(fixture.port, '127.0.0.1');
  const head =
    `GET /demo/${id}/ HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
  let answer = '';
  socket.setEncoding('latin1').on('data', (text: string) => (answer += text));
  socket.write(head);
  await waitFor('the refusal', () => answer.includes('host_unregistered'));
  socket.destroy();
  expect(answer).toMatch(/^HTTP\/1\.1 503 /);
  expect(opened).toBe(0);
});

test('a host that loses its network is refused at once, and served after it registers again', async () => {
  const id = await fixture.ready(port);
  expect(await get(id)).toEqual([200, 'an instance']);
  await closeKept();
  await register();
  await waitFor('the refusal', async () => (await get(id))[0] === 503);
  const before = opened;
  expect((await get(id))[0]).toBe(503);
  expect(opened).toBe(before);
  await register('127.0.1.0/24');
  expect(await get(id)).toEqual([200, 'an instance']);
});

/** Requests on a kept connection reach the container that it was opened to. */
async function closeKept(): Promise<void> {
  server.closeIdleConnections();
  await waitFor('no connection', async () => {
    const count = await new Promise((resolve) => server.getConnections((_, n) => resolve(n)));
    return count === 0;
  });
}

test('registrations cost no Redis call per request, and no extra call per connection', async () => {
  const id = await fixture.ready(port);
  await get(id);
  const monitor = await fixture.redis.duplicate().monitor();
  const calls: string[] = [];
  monitor.on('monitor', (_time, args: string[]) => calls.push(args.join(' ')));
  for (let i = 0; i < 20; i++) await get(id);
  expect(calls.filter((call) => call.includes('registration'))).toEqual([]);
  await closeKept();
  await get(id);
  await waitFor('the call', () => calls.some((call) => call.includes('registration')));
  monitor.disconnect();
  expect(calls.filter((call) => call.includes('registration'))).toHaveLength(1);
  expect(calls.find((call) => call.includes('registration'))).toContain('route:');
});

test('while Redis is unavailable, the last known registration serves for the grace period only', async () => {
  const brief = await startFixture({ lease: 200, grace: 2_500 });
  try {
    const id = await brief.ready(port, { generation: newGeneration() });
    expect(await get(id, brief)).toEqual([200, 'an instance']);
    await closeKept();
    await brief.startedRedis.stop();
    await new Promise((resolve) => setTimeout(resolve, 1_300));
    await waitFor('the known route', async () => (await get(id, brief))[0] === 200);
    await closeKept();
    await waitFor('the end of the grace', async () => (await get(id, brief))[0] === 503);
    const [, body] = await get(id, brief);
    expect(JSON.parse(body)).toMatchObject({ kind: 'store_unavailable' });
  } finally {
    await brief.stop().catch(() => undefined);
  }
});

test('the confirmation after the connect finds a change that was not pushed yet', async () => {
  // Every check in memory passes, as if the push were late. The store has the current state.
  const { routes } = fixture;
  let checks = 0;
  const timeout = {
    peek: (id: string) => routes.peek(id),
    find: (id: string) => routes.find(id),
    confirm: (id: string, host?: string) => routes.confirm(id, host),
    waitFor: (...args: Parameters<RouteCache['waitFor']>) => routes.waitFor(...args),
    ...NO_NAMES,
    onDrop: () => undefined,
    isRegistered: (host: string | undefined, endpoint: Endpoint) =>
      checks++ % 2 === 0 ? Promise.resolve(true) : routes.isRegistered(host, endpoint),
  };
  let bytes = 0;
  server.on('connection', (socket) => socket.on('data', (data) => (bytes += data.length)));
  const other = await startFixture({ routes: timeout });
  try {
    const route = { ...readyRoute(port), generation: newGeneration() };
    const id = await fixture.ready(port, route);
    await register();
    expect((await get(id, other))[0]).toBe(503);
    expect([opened, bytes]).toEqual([1, 0]);
  } finally {
    await other.stop();
  }
});
