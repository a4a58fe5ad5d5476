import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { SWITCH } from './handshake.ts';
import { open, send, statusOf } from './raw.ts';
import { type Fixture, startFixture } from './fixture.ts';
import { OK, startUpstream, type Upstream } from './upstream.ts';

// Every legal spelling of a target and of Host means the same to the proxy.

const DOMAIN = 'demos.example';
let byPath: Fixture;
let byHost: Fixture;
let upstream: Upstream;
let id: string;

beforeAll(async () => {
  byPath = await startFixture();
  byHost = await startFixture({ domain: `${DOMAIN}.:8080` });
});
afterAll(async () => {
  await byPath.stop();
  await byHost.stop();
});
afterEach(() => upstream.stop());

async function ready(fixture: Fixture): Promise<void> {
  upstream = await startUpstream(({ socket }, chunk) => {
    if (/^upgrade: websocket\r$/im.test(chunk)) socket.write(SWITCH);
    else if (chunk.includes('\r\n\r\n')) socket.write(OK);
  });
  id = await fixture.ready(upstream.port);
}

const WEBSOCKET =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
const hostsSeen = () =>
  [...upstream.received.matchAll(/^host: (.*)\r$/gim)].map(([, host]) => host);

describe('a query is passed unchanged', () => {
  const queries = [
    're=\\d+',
    'q=C:\\dir\\f',
    'a=#',
    'a=#b?c#d',
    '../..',
    '%2e%2e/',
    '\\#',
    '#',
    '#/../\\',
  ];

  test.each(queries)('?%s', async (query) => {
    await ready(byPath);
    const target = `/demo/${id}/a?${query}`;
    const plain = await send(byPath.port, `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
    expect(statusOf(plain)).toBe(200);
    const raw = open(byPath.port);
    raw.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n${WEBSOCKET}\r\n`);
    expect(statusOf(await raw.until(/\r\n\r\n/))).toBe(101);
    raw.socket.destroy();
    // The bare path form has its query right behind the id.
    await send(byPath.port, `POST /demo/${id}?${query} HTTP/1.1\r\nHost: a\r\n\r\n`);
    expect([...upstream.requests].sort()).toEqual([
      `GET /a?${query} HTTP/1.1`,
      `GET /a?${query} HTTP/1.1`,
      `POST /?${query} HTTP/1.1`,
    ]);
    const entrance = `GET /demo/new?${query} HTTP/1.1\r\nHost: a\r\n\r\n`;
    expect(statusOf(await send(byPath.port, entrance))).toBe(404);
  });
});

describe('absolute form', () => {
  test.each([
    ['http', (path: string) => `http://b.example${path}`, 'b.example'],
    ['https', (path: string) => `https://b.example${path}`, 'b.example'],
    ['capitals', (path: string) => `HTTP://B.Example${path}`, 'B.Example'],
    ['a port', (path: string) => `http://b.example:81${path}`, 'b.example:81'],
    ['an empty port', (path: string) => `http://b.example:${path}`, 'b.example'],
    ['an IPv6 address', (path: string) => `http://[::1]:80${path}`, '[::1]:80'],
    ['a backslash in the query', (path: string) => `http://b.example${path}?\\#`, 'b.example'],
  ])('with %s, in path form', async (_name, target, host) => {
    await ready(byPath);
    const line = target(`/demo/${id}/a`);
    const answer = await send(byPath.port, `GET ${line} HTTP/1.1\r\nHost: other.example\r\n\r\n`);
    expect(statusOf(answer)).toBe(200);
    const query = line.includes('?') ? '?\\#' : '';
    expect(upstream.requests).toEqual([`GET /a${query} HTTP/1.1`]);
    expect(hostsSeen()).toEqual([host]);
    expect(upstream.received).toMatch(
      new RegExp(`^x-forwarded-host: ${host.replace(/[[\]]/g, '\\$&')}\r$`, 'm'),
    );
    expect(upstream.received).not.toContain('other.example');
  });

  test.each([
    ['/a', '/a'],
    ['', '/'],
    ['?a=b', '/?a=b'],
    ['/?a=http://c/', '/?a=http://c/'],
    ['//a//b', '//a//b'],
  ])('chooses the instance in host form: %s', async (rest, expected) => {
    await ready(byHost);
    const line = `http://${id.toUpperCase()}.${DOMAIN}:8080${rest}`;
    for (const method of ['GET', 'OPTIONS']) {
      const answer = await send(
        byHost.port,
        `${method} ${line} HTTP/1.1\r\nHost: c.example\r\n\r\n`,
      );
      expect(statusOf(answer)).toBe(200);
    }
    const raw = open(byHost.port);
    raw.send(`GET ${line} HTTP/1.1\r\nHost: c.example\r\n${WEBSOCKET}\r\n`);
    expect(statusOf(await raw.until(/\r\n\r\n/))).toBe(101);
    raw.socket.destroy();
    expect([...upstream.requests].sort()).toEqual([
      `GET ${expected} HTTP/1.1`,
      `GET ${expected} HTTP/1.1`,
      `OPTIONS ${expected} HTTP/1.1`,
    ]);
    expect(new Set(hostsSeen())).toEqual(new Set([`${id.toUpperCase()}.${DOMAIN}:8080`]));
  });

  test('its authority decides, not Host', async () => {
    await ready(byHost);
    const answer = await send(
      byHost.port,
      `GET http://c.example/ HTTP/1.1\r\nHost: ${id}.${DOMAIN}\r\n\r\n`,
    );
    expect(statusOf(answer)).toBe(404);
    expect(upstream.connections).toHaveLength(0);
  });

  test('HTTP/1.0 needs no Host beside it', async () => {
    await ready(byHost);
    const raw = open(byHost.port);
    raw.send(`GET http://${id}.${DOMAIN}/a HTTP/1.0\r\n\r\n`);
    expect(statusOf(await raw.untilClosed())).toBe(200);
    expect(hostsSeen()).toEqual([`${id}.${DOMAIN}`]);
  });
});

describe('Host', () => {
  test.each([
    ['a final dot', '.', '.'],
    ['an empty port', ':', ''],
    ['a final dot and an empty port', '.:', '.'],
    ['a final dot and a port', '.:81', '.:81'],
    ['port 0', ':0', ':0'],
    ['a port with zeros', ':00080', ':00080'],
    ['a port above 65535', ':123456', ':123456'],
  ])('with %s names the same instance', async (_name, end, seen) => {
    await ready(byHost);
    for (const name of [`${id}.${DOMAIN}`, `${id}.${DOMAIN}`.toUpperCase()]) {
      const answer = await send(byHost.port, `GET /a HTTP/1.1\r\nHost: ${name}${end}\r\n\r\n`);
      expect(statusOf(answer)).toBe(200);
      const raw = open(byHost.port);
      raw.send(`GET /a HTTP/1.1\r\nHost: ${name}${end}\r\n${WEBSOCKET}\r\n`);
      expect(statusOf(await raw.until(/\r\n\r\n/))).toBe(101);
      raw.socket.destroy();
      expect(hostsSeen().filter((host) => host === `${name}${seen}`)).toHaveLength(2);
    }
  });

  test('with two final dots names no instance', async () => {
    await ready(byHost);
    const answer = await send(byHost.port, `GET /a HTTP/1.1\r\nHost: ${id}.${DOMAIN}..\r\n\r\n`);
    expect(statusOf(answer)).toBe(404);
  });
});
