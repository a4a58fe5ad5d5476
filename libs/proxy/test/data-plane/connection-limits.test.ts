import { connect } from 'node:net';
import { parseTrustedProxies } from '@ephemera/http';
import { waitFor } from '@ephemera/test-support';
import { afterEach, expect, test } from 'vitest';
import type {
  ConnectionLimits,
  ConnectionRefusal,
} from '../../src/data-plane/connection-limits.ts';
import { type Fixture, type FixtureOptions, startFixture } from './fixture.ts';
import { handshake, SWITCH } from './handshake.ts';
import { open, type Raw, send, statusOf } from './raw.ts';
import { answering, startUpstream, type Upstream } from './upstream.ts';

// One client opens connections and uses none. Other clients, and other instances, must be served.

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const refused: ConnectionRefusal[] = [];
const logged: unknown[] = [];

async function limited(
  connections: ConnectionLimits,
  options: FixtureOptions = {},
): Promise<Fixture> {
  refused.length = 0;
  logged.length = 0;
  const onRefused = (reason: ConnectionRefusal) => void refused.push(reason);
  const logger = { warn: (fields: unknown) => void logged.push(fields) };
  const server = { connections: { ...connections, onRefused, logger } };
  const fixture = await startFixture({ ...options, server });
  cleanups.push(() => fixture.stop());
  return fixture;
}

interface Client {
  isClosed: boolean;
  received: string;
  readonly close: () => void;
}

/** A client with an address of its own. @param bytes what it sends */
function client(port: number, localAddress: string, bytes = ''): Client {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  const state = { isClosed: false, received: '', close: () => socket.destroy() };
  cleanups.push(state.close);
  socket.on('error', () => socket.destroy());
  socket.on('close', () => (state.isClosed = true));
  socket.on('data', (data) => (state.received += data.toString('latin1')));
  if (bytes !== '') socket.write(bytes);
  return state;
}

/** An instance that accepts every WebSocket, and ends it with its client. */
async function startEchoes(): Promise<Upstream> {
  const upstream = await startUpstream(answering(SWITCH), ({ socket }) => {
    socket.once('end', () => socket.end());
  });
  cleanups.push(() => upstream.stop());
  return upstream;
}

const GET = 'GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n';

/** Opens idle connections one after the other. */
async function idle(fixture: Fixture, address: string, count: number): Promise<Client[]> {
  const clients: Client[] = [];
  for (let i = 0; i < count; i++) {
    const one = client(fixture.port, address, GET);
    await waitFor('an idle connection', () => one.received !== '' || one.isClosed);
    clients.push(one);
  }
  return clients;
}
const isServed = async (fixture: Fixture, address: string) =>
  !(await idle(fixture, address, 1))[0]?.isClosed;

test('one address has so many connections; others are served, and so is it again', async () => {
  const fixture = await limited({ perAddress: 5 });
  const first = await idle(fixture, '127.0.0.1', 8);
  expect(first.map(({ isClosed }) => isClosed)).toEqual([
    ...Array<boolean>(5).fill(false),
    ...Array<boolean>(3).fill(true),
  ]);
  expect(await isServed(fixture, '127.0.0.2')).toBe(true);
  expect(refused).toEqual(['address', 'address', 'address']);
  // One line for all of them.
  expect(logged).toEqual([{ address: '127.0.0.1', limit: 5, refused: 1 }]);
  first[0]?.close();
  await waitFor('a free connection', () => isServed(fixture, '127.0.0.1'));
});

test('a trusted proxy may have any number', async () => {
  const trusted = parseTrustedProxies(['127.0.0.1']);
  const fixture = await limited({ perAddress: 2, trusted });
  expect((await idle(fixture, '127.0.0.1', 6)).filter(({ isClosed }) => isClosed)).toEqual([]);
  expect((await idle(fixture, '127.0.0.2', 6)).filter(({ isClosed }) => isClosed)).toHaveLength(4);
});

test('all clients together have so many, and one at most half of them', async () => {
  const fixture = await limited({ total: 8, perAddress: 100 });
  expect((await idle(fixture, '127.0.0.1', 6)).filter(({ isClosed }) => isClosed)).toHaveLength(2);
  expect((await idle(fixture, '127.0.0.2', 4)).filter(({ isClosed }) => isClosed)).toEqual([]);
  expect(await isServed(fixture, '127.0.0.3')).toBe(false);
  expect(refused).toEqual(['address', 'address', 'total']);
});

test('a WebSocket counts until it ends', async () => {
  const upstream = await startEchoes();
  const fixture = await limited({ perAddress: 3 });
  const id = await fixture.ready(upstream.port);
  const tunnels = Array.from({ length: 3 }, () => client(fixture.port, '127.0.0.1', handshake(id)));
  await waitFor('tunnels', () =>
    tunnels.every(({ received }) => received.startsWith('HTTP/1.1 101')),
  );
  expect(await isServed(fixture, '127.0.0.1')).toBe(false);
  tunnels[1]?.close();
  await waitFor('a free connection', () => isServed(fixture, '127.0.0.1'));
});

test('an instance has so many WebSockets, in use or idle', async () => {
  const upstream = await startEchoes();
  let refusals = 0;
  const onWebSocketRefused = () => {
    refusals++;
  };
  const fixture = await limited({}, { webSocketsPerInstance: 2, onWebSocketRefused });
  const [id, other] = [await fixture.ready(upstream.port), await fixture.ready(upstream.port)];
  const shake = async (instance: string): Promise<Raw> => {
    const raw = open(fixture.port);
    cleanups.push(() => raw.socket.destroy());
    raw.send(handshake(instance));
    await raw.until(/\r\n\r\n/);
    return raw;
  };
  const first = await shake(id);
  expect([statusOf(first.received), statusOf((await shake(id)).received)]).toEqual([101, 101]);
  const third = await shake(id);
  expect(await third.untilClosed()).toMatch(/^HTTP\/1\.1 503 [^]*\r\nretry-after: 10\r\n/);
  expect(refusals).toBe(1);
  expect(statusOf((await shake(other)).received)).toBe(101);
  // A plain request needs no WebSocket.
  expect(await send(fixture.port, GET)).toMatch(/^HTTP\/1\.1 404/);
  first.socket.destroy();
  await waitFor('a free WebSocket', async () => statusOf((await shake(id)).received) === 101);
});

test.each([
  ['a page of the product', () => '/nothing'],
  ['a redirect', (id: string) => `/demo/${id}`],
])('a connection whose body stays unread behind %s is closed', async (_, pathOf) => {
  const linger = { silence: 600, total: 1_800 };
  const fixture = await limited({}, { linger });
  const path = pathOf(await fixture.ready(1));
  const head = `GET ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n`;
  // The second client shows that the connection is kept if the body arrives.
  const [silent, slow, dripping] = [open(fixture.port), open(fixture.port), open(fixture.port)];
  for (const raw of [silent, slow, dripping]) {
    cleanups.push(() => raw.socket.destroy());
    raw.send(head);
    await raw.until(/^HTTP\/1\.1 [34]0[48] [^]*\r\n\r\n/);
  }
  slow.send('0123456789');
  const drip = setInterval(() => dripping.send('0'), linger.silence / 3);
  cleanups.push(() => clearInterval(drip));
  await waitFor('both to be closed', () => silent.closed && dripping.closed);
  expect(slow.closed).toBe(false);
  slow.send(GET);
  await slow.until(/^HTTP[^]*HTTP\/1\.1 404/);
});
