import { ApiError } from '@ephemera/domain';
import { waitFor } from '@ephemera/test-support';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { open, send, statusOf } from './raw.ts';
import { newGeneration, newId, readyRoute, type Fixture, startFixture } from './fixture.ts';
import { answering, OK, startUpstream, type Upstream } from './upstream.ts';

// Docker gives a freed address to the next container at once. In these tests another upstream takes
// over the address and port of the one before. No byte may reach it by the old id.

let fixture: Fixture;
let mine: Upstream;
const cleanups: (() => unknown)[] = [];

beforeEach(async () => {
  fixture = await startFixture();
  mine = await startUpstream(answering(OK));
  cleanups.push(() => mine.stop());
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await fixture.stop();
});

const get = (id: string, below = '') =>
  `GET /demo/${id}/${below} HTTP/1.1\r\nHost: a.example\r\n\r\n`;

const handshake = (id: string) =>
  get(id).replace(
    /\r\n$/,
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );

/** A container of another instance, on the address that `mine` had. */
async function takeOver(): Promise<Upstream> {
  const { port } = mine;
  await mine.stop();
  const other = await startUpstream(answering(OK.replace('ok', 'XX')), undefined, port);
  cleanups.push(() => other.stop());
  return other;
}

describe('a stale route', () => {
  /** Blocks invalidations of the cache, like an undetected network partition. */
  async function blockInvalidations() {
    const routes = fixture.routes;
    const known = new Map<string, ReturnType<typeof routes.peek>>();
    const peek = routes.peek.bind(routes);
    routes.peek = (id) => {
      if (!known.has(id)) known.set(id, peek(id));
      return known.get(id);
    };
    await Promise.resolve();
  }

  test('the route is confirmed after the socket opens and before the first byte', async () => {
    const id = await fixture.ready(mine.port);
    expect(await send(fixture.port, get(id))).toMatch(/ok$/);
    await blockInvalidations();
    expect(await send(fixture.port, get(id))).toMatch(/ok$/);
    // The instance ends and another takes its address; this replica gets no invalidation.
    await fixture.put(id, { state: 'gone', generation: newGeneration(), reason: 'ttl' });
    const other = await takeOver();
    const answer = await send(fixture.port, get(id));
    expect(statusOf(answer)).toBe(410);
    expect(other.received).toBe('');
  });

  test('the same holds for WebSockets', async () => {
    const id = await fixture.ready(mine.port);
    await send(fixture.port, get(id));
    await blockInvalidations();
    await fixture.put(id, { state: 'gone', generation: newGeneration(), reason: 'ttl' });
    const other = await takeOver();
    const raw = open(fixture.port);
    raw.send(handshake(id));
    expect(statusOf(await raw.untilClosed())).toBe(410);
    expect(other.received).toBe('');
  });

  test('without a confirmation by the store no byte is sent', async () => {
    const id = await fixture.ready(mine.port);
    await fixture.routes.find(id);
    fixture.routes.confirm = () => Promise.reject(new ApiError({ kind: 'store_unavailable' }));
    for (const request of [get(id), handshake(id)]) {
      const raw = open(fixture.port);
      raw.send(request);
      await raw.until(/^HTTP\/1\.1 503 /);
      raw.socket.destroy();
    }
    expect(mine.received).toBe('');
    await waitFor('the sockets to close', () => mine.connections.every((c) => c.left));
  });

  test('a request on a superseded route goes to the current generation', async () => {
    const id = await fixture.ready(mine.port);
    await send(fixture.port, get(id));
    const next = await startUpstream(answering(OK.replace('ok', 'nw')));
    cleanups.push(() => next.stop());
    const route = JSON.parse((await fixture.redis.get(fixture.keys.route(id))) ?? '') as object;
    const peek = fixture.routes.peek.bind(fixture.routes);
    const stale = peek(id);
    let lies = 1;
    fixture.routes.peek = (asked) => (lies-- > 0 ? stale : peek(asked));
    for (const connection of mine.connections) connection.socket.destroy();
    const other = await takeOver();
    await fixture.redis.set(
      fixture.keys.route(id),
      JSON.stringify({ ...route, generation: newGeneration(), port: next.port }),
    );
    expect(await send(fixture.port, get(id))).toMatch(/nw$/);
    expect(other.received).toBe('');
  });
});

describe('sockets belong to a generation', () => {
  test('a new generation on the same address and port gets new sockets', async () => {
    const id = await fixture.ready(mine.port);
    await send(fixture.port, get(id));
    const route = JSON.parse((await fixture.redis.get(fixture.keys.route(id))) ?? '') as object;
    await fixture.redis.set(
      fixture.keys.route(id),
      JSON.stringify({ ...route, generation: newGeneration() }),
    );
    // At once, by the invalidation, not at the next check of the route.
    await waitFor('the old socket to close', () => mine.connections[0]?.left, 2_000);
    await send(fixture.port, get(id));
    expect(mine.connections).toHaveLength(2);
  });

  test('two ids on the same address and port share no socket', async () => {
    const first = await fixture.ready(mine.port);
    const second = await fixture.ready(mine.port);
    await send(fixture.port, get(first));
    await send(fixture.port, get(second));
    expect(mine.connections).toHaveLength(2);
  });

  test('a request in flight is cut when its generation ends, and gets the reason', async () => {
    const silent = await startUpstream(() => undefined);
    cleanups.push(() => silent.stop());
    const id = await fixture.ready(silent.port);
    const raw = open(fixture.port);
    raw.send(get(id));
    await waitFor('the request', () => silent.requests.length === 1);
    await fixture.put(id, { state: 'draining', generation: newGeneration(), reason: 'request' });
    await raw.until(/HTTP\/1\.1 410/);
    await waitFor('the socket to close', () => silent.connections[0]?.left);
    raw.socket.destroy();
  });

  test('everything open ends at the deadline, without any other process', async () => {
    const endless = await startUpstream(({ socket }) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n');
    });
    cleanups.push(() => endless.stop());
    const id = await fixture.ready(endless.port, { lifetime: 500 });
    const raw = open(fixture.port);
    raw.send(get(id));
    await raw.until(/data: 1/);
    // No other process can end it: even Redis is stopped.
    process.kill(fixture.startedRedis.pid, 'SIGSTOP');
    const answer = await raw.untilClosed();
    expect(answer).not.toMatch(/\r\n0\r\n\r\n$/);
    await waitFor('the socket to close', () => endless.connections[0]?.left);
    process.kill(fixture.startedRedis.pid, 'SIGCONT');
  });
});

test('many instances on few addresses: no request reaches another instance', async () => {
  // Four addresses. On each, one container after another responds with its own id.
  const places: { id: string; container: Upstream }[] = [];
  const move = async (place: number) => {
    const before = places[place];
    if (before) {
      // In the order of a kill: first the route, then the container.
      const ended = { state: 'gone', generation: newGeneration(), reason: 'request' } as const;
      await fixture.put(before.id, ended);
      await before.container.stop();
    }
    const id = newId();
    const container = await startUpstream(
      answering(OK.replace('2', '26').replace('ok', id)),
      undefined,
      before?.container.port,
    );
    places[place] = { id, container };
    await fixture.put(id, { ...readyRoute(container.port), generation: newGeneration() });
  };
  for (let place = 0; place < 4; place++) await move(place);

  let requests = 0;
  let strangers = 0;
  let isRunning = true;
  const visit = async (place: number) => {
    while (isRunning) {
      const id = places[place]?.id ?? '';
      const answer = await send(fixture.port, get(id));
      requests++;
      if (statusOf(answer) === 200 && !answer.endsWith(id)) strangers++;
    }
  };
  const visitors = [0, 1, 2, 3, 0, 1, 2, 3].map(visit);
  for (let round = 0; round < 60; round++) {
    const before = requests;
    await move(round % 4);
    await waitFor('some more visits', () => requests >= before + 8);
  }
  isRunning = false;
  await Promise.all(visitors);
  for (const { container } of places) await container.stop();
  expect(strangers).toBe(0);
  expect(requests).toBeGreaterThan(200);
});
