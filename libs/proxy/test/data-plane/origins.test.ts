import { waitFor } from '@ephemera/test-support';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { open, send, statusOf } from './raw.ts';
import { type Fixture, startFixture } from './fixture.ts';
import { answering, OK, startUpstream, type Upstream } from './upstream.ts';

// An instance must not affect other instances on its origin, or receive the product's own cookies.

const DOMAIN = 'demos.example';
const HANDSHAKE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n';

let byPath: Fixture;
let byHost: Fixture;
let upstream: Upstream;

beforeAll(async () => {
  byPath = await startFixture();
  byHost = await startFixture({ domain: DOMAIN, scheme: 'https' });
});
afterAll(async () => {
  await byPath.stop();
  await byHost.stop();
});
afterEach(() => upstream.stop());

const get = (target: string, lines = '', host = 'a.example') =>
  `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${lines}\r\n`;
const headOf = (answer: string) => answer.slice(0, answer.indexOf('\r\n\r\n') + 2);

describe('cookies of the product', () => {
  const cookies =
    'Cookie: own=1; ephemera-dashboard=secret; other=2\r\nCookie: __Host-ephemera-dashboard=secret\r\n';

  test('are never forwarded, whatever other cookies there are', async () => {
    upstream = await startUpstream(answering(OK));
    for (const [fixture, target, host] of [
      [byPath, (id: string) => `/demo/${id}/`, () => 'a.example'],
      [byHost, () => '/', (id: string) => `${id}.${DOMAIN}`],
    ] as const) {
      const id = await fixture.ready(upstream.port);
      await send(fixture.port, get(target(id), cookies, host(id)));
    }
    expect(upstream.requests).toHaveLength(2);
    expect(upstream.received).not.toMatch(/secret|ephemera-dashboard/);
    expect(upstream.received.match(/^Cookie: own=1; other=2\r$/gm)).toHaveLength(2);
  });

  test('are not forwarded with a WebSocket either', async () => {
    upstream = await startUpstream(() => undefined);
    const id = await byPath.ready(upstream.port);
    const raw = open(byPath.port);
    raw.send(get(`/demo/${id}/`, cookies + HANDSHAKE));
    await waitFor('the handshake', () => upstream.received.includes('\r\n\r\n'));
    expect(upstream.received).toMatch(/^Cookie: own=1; other=2\r$/im);
    expect(upstream.received).not.toContain('secret');
    raw.socket.destroy();
  });

  test('cannot be set by an instance, not even in an informational response', async () => {
    const fields =
      'Set-Cookie: ephemera-dashboard=forged; Path=/instances\r\nSet-Cookie: =ephemera-dashboard=forged; Path=/queues\r\n' +
      'Set-Cookie: own=1; Domain=demos.example\r\n';
    upstream = await startUpstream(
      answering(
        `HTTP/1.1 103 Early Hints\r\n${fields}\r\nHTTP/1.1 200 OK\r\n${fields}Content-Length: 2\r\n\r\nok`,
      ),
    );
    const id = await byHost.ready(upstream.port);
    const answer = await send(byHost.port, get('/', '', `${id}.${DOMAIN}`));
    expect(answer).toMatch(/ok$/);
    expect(answer).not.toMatch(/forged|Domain/);
    expect(answer.match(/^Set-Cookie: own=1\r$/gim)).toHaveLength(2);
  });
});

describe('the path form', () => {
  test('refuses service workers, because one would control all instances', async () => {
    upstream = await startUpstream(answering(OK));
    const id = await byPath.ready(upstream.port);
    const refused = await send(byPath.port, get(`/demo/${id}/sw.js`, 'Service-Worker: script\r\n'));
    expect(refused).toMatch(/service workers are not available/);
    expect(upstream.requests).toEqual([]);
    const own = await byHost.ready(upstream.port);
    const passed = await send(
      byHost.port,
      get('/sw.js', 'Service-Worker: script\r\n', `${own}.${DOMAIN}`),
    );
    expect(statusOf(passed)).toBe(200);
    expect(upstream.received).toContain('Service-Worker: script\r\n');
  });

  test('removes fields that apply to the whole origin', async () => {
    const fields =
      'Clear-Site-Data: "*"\r\nNEL: {}\r\nReport-To: {}\r\nStrict-Transport-Security: max-age=9\r\nAlt-Svc: h3=":9"\r\n';
    upstream = await startUpstream(
      answering(`HTTP/1.1 200 OK\r\n${fields}X-Own: 1\r\nContent-Length: 2\r\n\r\nok`),
    );
    const id = await byPath.ready(upstream.port);
    const head = headOf(await send(byPath.port, get(`/demo/${id}/`)));
    expect(head).toContain('X-Own: 1\r\n');
    expect(head).not.toMatch(/clear-site|nel:|report-to|strict-transport|alt-svc/i);
  });

  // A browser would set a cookie of `/demo/{id}` on `/demo`, and send it to every instance.
  test.each(['', '?a=/b', ':main'])(
    'keeps a cookie that the prefix itself sets: %s',
    async (end) => {
      upstream = await startUpstream(
        answering(
          'HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2; Path=x; Secure\r\nContent-Length: 2\r\n\r\nok',
        ),
      );
      const id = await byPath.ready(upstream.port);
      const ask = (method: string, target: string, lines: string) =>
        send(byPath.port, get(target, lines).replace(/^GET/, method));
      const below = `/demo/${id}${end.startsWith(':') ? end : ''}/`;
      for (const answer of [
        await ask('POST', `/demo/${id}${end}`, 'Content-Length: 0\r\n'),
        await ask('GET', `/demo/${id}${end}`, HANDSHAKE),
      ]) {
        expect(headOf(answer)).toMatch(new RegExp(`^set-cookie: a=1; Path=${below}\r$`, 'im'));
        expect(headOf(answer)).toMatch(
          new RegExp(`^set-cookie: b=2; Path=${below}; Secure\r$`, 'im'),
        );
      }
      expect(upstream.requests).toHaveLength(2);
      // Below the slash, the browser's default Path is right.
      const head = headOf(await send(byPath.port, get(below)));
      expect(head).toMatch(/^set-cookie: a=1\r$/im);
      expect(head).toMatch(/^set-cookie: b=2; Secure\r$/im);
    },
  );

  // Otherwise a link would show an instance's page on the origin that all instances share.
  test.each([
    ['GET', '', '/a?b=/c', ''],
    ['GET', '', '', ''],
    ['POST', '', '/a', ''],
    ['GET', ':main', '/a', 'main-'],
    ['GET', '', '//evil.example/', ''],
  ])(
    'redirects to the instance’s own origin where there is one: %s %s%s',
    async (method, port, path, label) => {
      upstream = await startUpstream(answering(OK));
      const id = await byHost.ready(upstream.port);
      for (const host of ['a.example', DOMAIN, `${DOMAIN}.`]) {
        const request = get(`/demo/${id}${port}${path}`, 'Content-Length: 0\r\n', host);
        const answer = await send(byHost.port, request.replace(/^GET/, method));
        expect(statusOf(answer)).toBe(307);
        const location = `https://${label}${id}.${DOMAIN}${path || '/'}`;
        expect(headOf(answer)).toContain(`\r\nlocation: ${location}\r\n`);
        expect(headOf(answer)).toContain('\r\ncache-control: no-store\r\n');
      }
      expect(upstream.requests).toEqual([]);
    },
  );
});
