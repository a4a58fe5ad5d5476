import type { ReadyRoute } from '@ephemera/domain';
import { waitFor } from '@ephemera/test-support';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { open, send, statusOf } from './raw.ts';
import {
  newGeneration,
  newId,
  type Fixture,
  type FixtureOptions,
  startFixture,
} from './fixture.ts';
import { answering, OK, startUpstream, type Upstream } from './upstream.ts';

// How requests are routed, by their address and by the state of the instance.

const fixtures = new Map<string, Fixture>();
let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream(answering(OK));
});
afterAll(async () => {
  await upstream.stop();
  for (const fixture of fixtures.values()) await fixture.stop();
});
afterEach(() => {
  for (const connection of upstream.connections) {
    connection.received = '';
    connection.socket.destroy();
  }
});

async function fixtureWith(options: FixtureOptions = {}): Promise<Fixture> {
  const name = JSON.stringify(options);
  const fixture = fixtures.get(name) ?? (await startFixture(options));
  fixtures.set(name, fixture);
  return fixture;
}

const get = (target: string, lines = '', host = 'a.example') =>
  `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${lines}\r\n`;
const failureOf = (answer: string) =>
  JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as Record<string, unknown>;

describe('addresses', () => {
  test('the path form without its slash redirects to it with the slash, so that relative links work', async () => {
    const fixture = await fixtureWith();
    const id = await fixture.ready(upstream.port);
    for (const [target, location] of [
      [`/demo/${id}`, `/demo/${id}/`],
      [`/demo/${id}?a=/b`, `/demo/${id}/?a=/b`],
      [`/demo/${id}:main`, `/demo/${id}:main/`],
    ] as const) {
      const answer = await send(fixture.port, get(target));
      expect(statusOf(answer)).toBe(308);
      expect(answer).toMatch(new RegExp(`\r\nlocation: ${location.replace('?', '\\?')}\r\n`));
    }
    expect(upstream.requests).toEqual([]);
    await send(
      fixture.port,
      get(`/demo/${id}?a`)
        .replace('GET', 'POST')
        .replace('\r\n\r\n', '\r\nContent-Length: 0\r\n\r\n'),
    );
    expect(upstream.requests).toEqual(['POST /?a HTTP/1.1']);
  });

  test('ports of the route by name and number, and no others', async () => {
    const fixture = await fixtureWith();
    const debug = await startUpstream(answering(OK.replace('ok', 'dg')));
    const id = await fixture.ready(upstream.port, {
      ports: { main: upstream.port, debug: debug.port },
    });
    for (const port of ['debug', String(debug.port)]) {
      const answer = await send(fixture.port, get(`/demo/${id}:${port}/a`));
      expect(answer).toMatch(/dg$/);
      expect(debug.received).toContain(`x-forwarded-prefix: /demo/${id}:${port}\r\n`);
    }
    for (const port of ['22', 'constructor', '__proto__', 'x']) {
      expect(statusOf(await send(fixture.port, get(`/demo/${id}:${port}/`)))).toBe(404);
    }
    await debug.stop();
  });

  test('the host form: the whole path is the instance’s', async () => {
    const fixture = await fixtureWith({ domain: 'demos.example:8080' });
    const id = await fixture.ready(upstream.port);
    await send(fixture.port, get('/demo/new?x', '', `${id}.demos.example:8080`));
    await send(fixture.port, get('/b', '', `main-${id}.demos.example`));
    expect(upstream.requests).toEqual(['GET /demo/new?x HTTP/1.1', 'GET /b HTTP/1.1']);
    expect(upstream.received).not.toContain('x-forwarded-prefix');
  });

  test('a template can keep the prefix, and can mask the Host', async () => {
    const fixture = await fixtureWith();
    const id = await fixture.ready(upstream.port, { stripPrefix: false, hostHeader: 'mask' });
    await send(fixture.port, get(`/demo/${id}/a`));
    expect(upstream.received).toMatch(
      new RegExp(`^GET /demo/${id}/a HTTP/1\\.1\r\nhost: 127\\.0\\.1\\.1:${upstream.port}\r\n`),
    );
    expect(upstream.received).not.toContain('x-forwarded-prefix');
    expect(upstream.received).toContain('x-forwarded-host: a.example\r\n');
  });

  test('responses are rewritten below the prefix', async () => {
    const fixture = await fixtureWith();
    const moved = await startUpstream(
      answering(
        'HTTP/1.1 302 Found\r\nLocation: /login\r\nSet-Cookie: a=1; Path=/; Domain=a.example\r\n' +
          'Service-Worker-Allowed: /\r\nContent-Length: 0\r\n\r\n',
      ),
    );
    const id = await fixture.ready(moved.port);
    const answer = await send(fixture.port, get(`/demo/${id}/`));
    expect(answer).toContain(`Location: /demo/${id}/login\r\n`);
    expect(answer).toContain(`Set-Cookie: a=1; Path=/demo/${id}/\r\n`);
    expect(answer).not.toMatch(/service-worker/i);
    await moved.stop();
  });

  test('a Location with the host that a trusted balancer forwards stays below the prefix', async () => {
    const fixture = await fixtureWith({ trustedProxies: ['127.0.0.0/8'] });
    const location = 'Location: https://demos.example/login\r\n';
    const moved = await startUpstream(
      answering(`HTTP/1.1 302 Found\r\n${location}Content-Length: 0\r\n\r\n`),
    );
    const path = `/demo/${await fixture.ready(moved.port)}/`;
    const text = await send(fixture.port, get(path, 'X-Forwarded-Host: demos.example\r\n'));
    expect(text).toContain(`Location: ${path}login\r\n`);
    expect(await send(fixture.port, get(path))).toContain(location);
    await moved.stop();
  });

  test('forwarded fields of a trusted balancer are kept and extended', async () => {
    const fixture = await fixtureWith({ trustedProxies: ['10.0.0.0/8', '127.0.0.0/8'] });
    const id = await fixture.ready(upstream.port);
    await send(
      fixture.port,
      get(
        `/demo/${id}/`,
        'X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: demos.example\r\n' +
          'Forwarded: for=203.0.113.7;proto=https\r\nX_Forwarded_For: 6.6.6.6\r\n',
      ),
    );
    expect(upstream.received).toContain('x-forwarded-for: 203.0.113.7, 127.0.0.1\r\n');
    expect(upstream.received).toContain('x-real-ip: 203.0.113.7\r\n');
    expect(upstream.received).toContain('x-forwarded-proto: https\r\n');
    expect(upstream.received).toContain('x-forwarded-host: demos.example\r\n');
    expect(upstream.received).not.toMatch(/^forwarded:/im);
    expect(upstream.received).not.toContain('6.6.6.6');
  });

  const DESCRIPTION =
    'X-Forwarded-Port: 444\r\nX-Forwarded-Uri: /x\r\nX-Forwarded-Method: GET\r\n' +
    'X-Forwarded-Server: b\r\nX-Forwarded-Ssl: on\r\nX-Forwarded-Scheme: https\r\n';
  const IDENTITY =
    'X-Forwarded-User: u1\r\nX-Forwarded-Email: u1@a.test\r\nX-Forwarded-Groups: g\r\n' +
    'X-Forwarded-Groups: h\r\nX-Forwarded-Preferred-Username: u\r\n' +
    'X-Forwarded-Access-Token: t\r\nX-Auth-Request-User: u1\r\nRemote-User: u1\r\n';
  const lower = (lines: string) =>
    lines
      .toLowerCase()
      .split('\r\n')
      .filter((line) => line !== '');

  // A client of the balancer may nominate fields; that must not remove what the balancer says.
  test.each([true, false])(
    'all forwarded fields of a trusted balancer pass, the identity only if %s',
    async (forwardIdentity) => {
      const fixture = await fixtureWith({ trustedProxies: ['127.0.0.0/8'] });
      const id = await fixture.ready(upstream.port, { forwardIdentity });
      const nominated = 'Connection: close, X-Forwarded-User, X-Forwarded-Uri\r\n';
      const lines = DESCRIPTION + IDENTITY + nominated;
      await send(fixture.port, get(`/demo/${id}/`, lines));
      const received = lower(upstream.received);
      expect(received).toEqual(expect.arrayContaining(lower(DESCRIPTION)));
      expect(received.filter((line) => line.startsWith('x-forwarded-port'))).toHaveLength(1);
      expect(received.filter((line) => lower(IDENTITY).includes(line))).toEqual(
        forwardIdentity ? lower(IDENTITY) : [],
      );
    },
  );

  test('a client that is not trusted cannot claim to be a user', async () => {
    const fixture = await fixtureWith();
    const id = await fixture.ready(upstream.port, { forwardIdentity: true });
    await send(fixture.port, get(`/demo/${id}/`, IDENTITY));
    const names = lower(IDENTITY).map((line) => line.slice(0, line.indexOf(':')));
    expect(names.filter((name) => upstream.received.toLowerCase().includes(name))).toEqual([]);
  });

  test('a WebSocket handshake carries the same fields', async () => {
    const fixture = await fixtureWith({ trustedProxies: ['127.0.0.0/8'] });
    const id = await fixture.ready(upstream.port, { forwardIdentity: true });
    const handshake =
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
    await send(
      fixture.port,
      `GET /demo/${id}/ HTTP/1.1\r\nHost: a\r\n${handshake}${DESCRIPTION}${IDENTITY}\r\n`,
    );
    const received = lower(upstream.received);
    expect(received).toEqual(expect.arrayContaining(lower(DESCRIPTION + IDENTITY)));
  });
});

describe('the state of the instance', () => {
  test.each([
    ['unknown', undefined, 404, { kind: 'not_found' }],
    [
      'draining',
      { state: 'draining', reason: 'request' },
      410,
      { kind: 'gone', reason: 'request' },
    ],
    ['gone', { state: 'gone', reason: 'oom', message: 'Too much.' }, 410, { reason: 'oom' }],
    [
      'failed',
      { state: 'failed', reason: 'start_failed', message: 'No image.' },
      502,
      { message: 'No image.' },
    ],
  ] as const)('%s', async (_name, route, status, failure) => {
    const fixture = await fixtureWith();
    const id = newId();
    if (route) await fixture.put(id, { ...route, generation: newGeneration() });
    const answer = await send(fixture.port, get(`/demo/${id}/`));
    expect(statusOf(answer)).toBe(status);
    expect(failureOf(answer)).toMatchObject(failure);
  });

  test('a route past its deadline is refused before any kill', async () => {
    const fixture = await fixtureWith();
    const id = await fixture.ready(upstream.port, { lifetime: -1 });
    const answer = await send(fixture.port, get(`/demo/${id}/`));
    expect(statusOf(answer)).toBe(410);
    expect(failureOf(answer)).toMatchObject({ kind: 'gone', reason: 'ttl' });
    expect(upstream.requests).toEqual([]);
  });

  test('a request waits while the instance starts, and is forwarded when it is ready', async () => {
    const fixture = await fixtureWith();
    const ready = await fixture.ready(upstream.port);
    const route = JSON.parse(
      (await fixture.redis.get(fixture.keys.route(ready))) ?? '',
    ) as ReadyRoute;
    const id = newId();
    await fixture.put(id, { state: 'pending', generation: newGeneration() });
    const raw = open(fixture.port);
    raw.send(`POST /demo/${id}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody`);
    await waitFor('the request', () => fixture.dataPlane.inFlight() === 1);
    await fixture.put(id, { state: 'starting', generation: newGeneration() });
    await fixture.put(id, route);
    await raw.until(/200 OK[^]*ok$/);
    raw.socket.destroy();
    expect(upstream.received).toMatch(/\r\n\r\nbody$/);
  });

  test('a request waits for a start only until its timeout', async () => {
    const fixture = await fixtureWith({ startWait: 200 });
    const id = newId();
    await fixture.put(id, { state: 'starting', generation: newGeneration() });
    const answer = await send(fixture.port, get(`/demo/${id}/`));
    expect(statusOf(answer)).toBe(503);
    expect(failureOf(answer)).toEqual({ kind: 'starting', id });
  });

  test('a waiting request reports a failed start', async () => {
    const fixture = await fixtureWith();
    const id = newId();
    await fixture.put(id, { state: 'starting', generation: newGeneration() });
    const raw = open(fixture.port);
    raw.send(get(`/demo/${id}/`));
    await waitFor('the request', () => fixture.dataPlane.inFlight() === 1);
    await fixture.put(id, { state: 'failed', generation: newGeneration(), reason: 'start_failed' });
    await raw.until(/HTTP\/1\.1 502/);
    raw.socket.destroy();
  });

  test('a client that disconnects while waiting leaves nothing behind', async () => {
    const fixture = await fixtureWith();
    const id = newId();
    await fixture.put(id, { state: 'starting', generation: newGeneration() });
    const raw = open(fixture.port);
    raw.send(get(`/demo/${id}/`));
    await waitFor('the request', () => fixture.dataPlane.inFlight() === 1);
    raw.socket.destroy();
    await waitFor('nothing in flight', () => fixture.dataPlane.inFlight() === 0);
  });
});

describe('an unavailable Redis', () => {
  test('known ids are served, unknown ones get 503 within 250 ms, and it recovers within 3 s', async () => {
    const fixture = await startFixture({ lease: 300, grace: 20_000 });
    try {
      const id = await fixture.ready(upstream.port);
      expect(statusOf(await send(fixture.port, get(`/demo/${id}/`)))).toBe(200);
      process.kill(fixture.startedRedis.pid, 'SIGSTOP');
      await waitFor('the loss', () => !fixture.routes.connected);
      for (let i = 0; i < 3; i++) {
        const before = performance.now();
        expect(statusOf(await send(fixture.port, get(`/demo/${newId()}/`)))).toBe(503);
        expect(performance.now() - before).toBeLessThan(300);
        // A new upstream connection cannot be confirmed; the grace period allows it.
        for (const connection of upstream.connections) connection.socket.destroy();
        expect(statusOf(await send(fixture.port, get(`/demo/${id}/`)))).toBe(200);
      }
      process.kill(fixture.startedRedis.pid, 'SIGCONT');
      const before = performance.now();
      await waitFor('the recovery', async () => {
        return statusOf(await send(fixture.port, get(`/demo/${newId()}/`))) === 404;
      });
      expect(performance.now() - before).toBeLessThan(3_000);
    } finally {
      await fixture.stop();
    }
  });
});

describe('draining', () => {
  test('lets requests finish, closes connections after their response, and then ends', async () => {
    const fixture = await startFixture();
    const slow = await startUpstream(({ socket }) => {
      setTimeout(() => socket.write(OK), 300);
    });
    const id = await fixture.ready(slow.port);
    const raw = open(fixture.port);
    raw.send(get(`/demo/${id}/`));
    await waitFor('the request', () => slow.requests.length === 1);
    const drained = fixture.dataPlane.drain(10_000);
    const answer = await raw.untilClosed();
    expect(answer).toMatch(/\r\nConnection: close\r\n[^]*ok$/);
    await drained;
    expect(fixture.dataPlane.inFlight()).toBe(0);
    await waitFor('the upstream to close', () => slow.connections[0]?.left);
    await slow.stop();
    await fixture.stop();
  });

  test('cuts the remaining connections at its deadline', async () => {
    const fixture = await startFixture();
    const silent = await startUpstream(() => undefined);
    const id = await fixture.ready(silent.port);
    const raw = open(fixture.port);
    raw.send(get(`/demo/${id}/`));
    await waitFor('the request', () => silent.requests.length === 1);
    await fixture.dataPlane.drain(200);
    await raw.until(/HTTP\/1\.1 502/);
    await waitFor('the upstream to close', () => silent.connections[0]?.left);
    await silent.stop();
    await fixture.stop();
  });
});
