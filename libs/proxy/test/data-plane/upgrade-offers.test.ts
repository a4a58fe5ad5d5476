import { waitFor } from '@ephemera/test-support';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { handshake, SWITCH } from './handshake.ts';
import { open, send, statusOf } from './raw.ts';
import { type Fixture, startFixture } from './fixture.ts';
import { answering, OK, startUpstream, type Upstream } from './upstream.ts';

// Offers of other protocols, as curl, the JDK and monitors send them. They are optional, so the
// request goes on without them (RFC 9110 section 7.8). Only WebSocket handshakes are upgrades.

let fixture: Fixture;
let upstream: Upstream;
let id: string;

beforeAll(async () => {
  fixture = await startFixture();
});
afterAll(() => fixture.stop());
beforeEach(async () => {
  upstream = await startUpstream(({ socket }, chunk) => {
    if (/^upgrade: websocket\r$/im.test(chunk)) socket.write(SWITCH);
    else if (chunk.includes('\r\n\r\n')) socket.write(OK);
  });
  id = await fixture.ready(upstream.port);
});
afterEach(() => upstream.stop());

const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n';
const OFFERS: [name: string, lines: string][] = [
  ['h2c', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n'],
  [
    'h2c in capitals',
    'Connection: UPGRADE, http2-settings\r\nUpgrade: H2C\r\nHTTP2-Settings: x\r\n',
  ],
  ['h2c without Connection', 'Upgrade: h2c\r\nHTTP2-Settings: x\r\n'],
  ['TLS', 'Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n'],
  ['an unknown protocol', 'Connection: upgrade\r\nUpgrade: foo/1\r\n'],
  ['a list', 'Connection: keep-alive, Upgrade\r\nUpgrade: h2c, foo/1, TLS/1.3\r\n'],
  ['several fields', 'Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: foo\r\n'],
  ['an empty list', 'Connection: Upgrade\r\nUpgrade: ,\r\n'],
  ['websocket without Connection', `Upgrade: websocket\r\n${KEY}`],
  ['a version of websocket', `Connection: Upgrade\r\nUpgrade: websocket/13\r\n${KEY}`],
  ['a longer name', `Connection: Upgrade\r\nUpgrade: xwebsocket, websockets\r\n${KEY}`],
];
const request = (method: string, lines: string, body = '') =>
  `${method} /demo/${id}/a HTTP/1.1\r\nHost: a.example\r\nX-Own: 1\r\n${lines}\r\n${body}`;

function expectNoOffer(): void {
  expect(upstream.received).toMatch(/\r\nX-Own: 1\r\n/);
  expect(upstream.received).toMatch(/\r\nconnection: keep-alive\r\n/);
  // An id may contain `h2c`.
  const received = upstream.received.replaceAll(id, 'ID');
  expect(received).not.toMatch(/^(?:upgrade|http2-settings):|h2c|tls\//im);
}

describe.each(OFFERS)('an offer of %s', (_name, lines) => {
  test('with GET is ignored', async () => {
    expect(statusOf(await send(fixture.port, request('GET', lines)))).toBe(200);
    expect(upstream.requests).toEqual(['GET /a HTTP/1.1']);
    expectNoOffer();
  });

  test.each([
    ['a length', 'Content-Length: 5\r\n', 'hello', 'hello'],
    [
      'chunks',
      'Transfer-Encoding: chunked\r\n',
      '5\r\nhello\r\n0\r\n\r\n',
      '5\r\nhello\r\n0\r\n\r\n',
    ],
    ['an expectation', 'Content-Length: 5\r\nExpect: 100-continue\r\n', 'hello', 'hello'],
  ])('with a body framed by %s is ignored', async (_framing, framing, body, expected) => {
    const raw = open(fixture.port);
    raw.send(request('POST', lines + framing, body));
    await raw.until(/HTTP\/1\.1 200 [^]*ok$/);
    await waitFor('the body', () => upstream.received.endsWith(`\r\n\r\n${expected}`));
    raw.socket.destroy();
    expect(upstream.requests).toEqual(['POST /a HTTP/1.1']);
    expectNoOffer();
  });

  test('to a path without an instance is ignored', async () => {
    const answer = await send(
      fixture.port,
      `GET /demo/new HTTP/1.1\r\nHost: a.example\r\n${lines}\r\n`,
    );
    expect(statusOf(answer)).toBe(404);
    expect(upstream.connections).toHaveLength(0);
  });
});

test.each(['POST', 'HEAD', 'PUT', 'OPTIONS'])(
  '%s with an offer of websocket is an ordinary request, because a handshake is a GET',
  async (method) => {
    const raw = open(fixture.port);
    raw.send(request(method, `Connection: Upgrade\r\nUpgrade: websocket\r\n${KEY}`));
    expect(statusOf(await raw.until(/\r\n\r\n/))).toBe(200);
    raw.socket.destroy();
    expect(upstream.requests).toEqual([`${method} /a HTTP/1.1`]);
    expectNoOffer();
  },
);

test('HTTP/1.0 has no upgrades: the offer is ignored', async () => {
  for (const offer of ['h2c', 'websocket']) {
    const raw = open(fixture.port);
    raw.send(
      `GET /demo/${id}/a HTTP/1.0\r\nHost: a.example\r\nX-Own: 1\r\nConnection: Upgrade\r\nUpgrade: ${offer}\r\n${KEY}\r\n`,
    );
    expect(statusOf(await raw.untilClosed())).toBe(200);
  }
  expect(upstream.requests).toHaveLength(2);
  expectNoOffer();
});

test.each([
  ['another offer before it', 'Upgrade: h2c, websocket\r\n'],
  ['another offer after it', 'Upgrade: WebSocket,foo/2\r\n'],
  ['two fields', 'Upgrade: h2c\r\nUpgrade: websocket\r\n'],
  ['settings of h2c', 'Upgrade: websocket, h2c\r\nHTTP2-Settings: x\r\n'],
  ['other capitals', 'Upgrade: WEBSOCKET\r\n'],
])('a WebSocket handshake with %s switches to WebSocket', async (_name, lines) => {
  const raw = open(fixture.port);
  raw.send(request('GET', `Connection: Upgrade, HTTP2-Settings\r\n${lines}${KEY}`));
  expect(statusOf(await raw.until(/\r\n\r\n/))).toBe(101);
  raw.socket.destroy();
  expect(upstream.received.match(/^upgrade:.*$/gim)).toEqual(['upgrade: websocket']);
  expect(upstream.received.replaceAll(id, 'ID')).not.toMatch(/http2-settings|h2c/i);
});

test.each([
  ['Content-Length: 0', 'Content-Length: 0\r\n'],
  ['Content-Length: 00', 'Content-Length: 00\r\n'],
  ['an expectation', 'Expect: 100-continue\r\n'],
])('a WebSocket handshake with %s and no body: 101, the field removed', async (_name, lines) => {
  const raw = open(fixture.port);
  raw.send(`${handshake(id, '', lines)}eager`);
  expect(statusOf(await raw.until(/\r\n\r\n/))).toBe(101);
  await waitFor('the bytes behind it', () => upstream.received.endsWith('eager'));
  raw.socket.destroy();
  expect(upstream.received).not.toMatch(/^(?:content-length|expect):/im);
});

// llhttp stops behind a message with an offer, and node:http loses the bytes that it had read after
// it. Without a close, the rest of a torn request would be parsed as a request of its own.
test('nothing behind an ignored offer is processed, and the connection closes', async () => {
  for (const torn of ['POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\n', '']) {
    const raw = open(fixture.port);
    raw.send(request('GET', `Connection: Upgrade\r\nUpgrade: h2c\r\n`) + torn);
    raw.send(request('GET', '').replace('/a', '/smuggled'));
    const answer = await raw.untilClosed();
    expect(answer).toMatch(/^HTTP\/1\.1 200 [^]*\r\nconnection: close\r\n/i);
    expect(answer.match(/HTTP\/1\.1 \d/g)).toHaveLength(1);
  }
  expect(upstream.received).not.toContain('smuggled');
});

test('an ignored offer behind a pipelined request is answered in order', async () => {
  const raw = open(fixture.port);
  raw.send(request('GET', '') + request('GET', 'Connection: Upgrade\r\nUpgrade: h2c\r\n'));
  const answer = await raw.untilClosed();
  expect(answer.match(/HTTP\/1\.1 200/g)).toHaveLength(2);
});

test('an unsupported version of WebSocket: 426 with the supported one', async () => {
  const raw = open(fixture.port);
  raw.send(handshake(id).replace('Version: 13', 'Version: 8'));
  const answer = await raw.untilClosed();
  expect(statusOf(answer)).toBe(426);
  expect(answer).toMatch(/\r\nsec-websocket-version: 13\r\n/i);
  expect(answer).toMatch(/\r\nupgrade: websocket\r\n/i);
  expect(answer).toMatch(/\r\nconnection: close, upgrade\r\n/i);
});

describe('a 426 of the instance keeps its Upgrade field', () => {
  const required = (value: string, more = '') =>
    `HTTP/1.1 426 Upgrade Required\r\nUpgrade: ${value}\r\nConnection: Upgrade\r\n${more}Content-Length: 2\r\n\r\nno`;

  test.each(['websocket', 'TLS/1.2, HTTP/1.1', 'HTTP/2.0'])('%s', async (value) => {
    await upstream.stop();
    upstream = await startUpstream(answering(required(value, 'Sec-WebSocket-Version: 13\r\n')));
    id = await fixture.ready(upstream.port);
    const raw = open(fixture.port);
    raw.send(request('GET', ''));
    const plain = await raw.until(/no$/);
    expect(plain).toMatch(/^HTTP\/1\.1 426 /);
    expect(plain.match(/^upgrade: .*$/gim)).toEqual([`Upgrade: ${value}`]);
    expect(plain.match(/^connection: .*$/gim)).toEqual(['Connection: Upgrade']);
    expect(plain).toMatch(/\r\nSec-WebSocket-Version: 13\r\n/);
    // The client connection is kept.
    raw.send(request('GET', '').replace('HTTP/1.1', 'HTTP/1.0'));
    const last = (await raw.untilClosed()).slice(plain.length);
    expect(last.match(/^connection: .*$/gim)).toEqual(['Connection: close, Upgrade']);

    const refused = open(fixture.port);
    refused.send(handshake(id));
    const answer = await refused.untilClosed();
    expect(answer).toMatch(/^HTTP\/1\.1 426 [^]*no$/);
    expect(answer.match(/^upgrade: .*$/gim)).toEqual([`Upgrade: ${value}`]);
    expect(answer.match(/^connection: .*$/gim)).toEqual(['Connection: close, Upgrade']);
  });

  test('other responses do not advertise protocols', async () => {
    await upstream.stop();
    upstream = await startUpstream(answering(OK.replace('\r\n', '\r\nUpgrade: h2,h2c\r\n')));
    id = await fixture.ready(upstream.port);
    expect(await send(fixture.port, request('GET', ''))).not.toMatch(/upgrade/i);
  });
});

test('a handshake behind an ignored offer, whose response is open, ends the connection', async () => {
  const endless = await startUpstream(({ socket }, chunk) => {
    if (chunk.startsWith('GET ')) {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n');
    }
  });
  try {
    const events = await fixture.ready(endless.port);
    const raw = open(fixture.port);
    raw.send(
      `GET /demo/${events}/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n`,
    );
    await raw.until(/\r\na\r\n/);
    raw.send(handshake(events));
    await raw.untilClosed();
    await waitFor('the instance to be let go', () => endless.connections.every((c) => c.left));
  } finally {
    await endless.stop();
  }
});

// A Host can be valid and still be no host of a URL. An error there must not end the process.
test.each(['a:99999', '1.2.3.999', 'xn--a'])(
  'a handshake with the Host %s: references without a scheme pass',
  async (host) => {
    const reference = '//other.example/x';
    const odd = await startUpstream(({ socket }, chunk) => {
      if (chunk.includes('/switch')) {
        socket.write(SWITCH.replace('\r\n\r\n', `\r\nLink: <${reference}>\r\n\r\n`));
      } else
        socket.write(`HTTP/1.1 302 Found\r\nLocation: ${reference}\r\nContent-Length: 0\r\n\r\n`);
    });
    try {
      const own = await fixture.ready(odd.port);
      for (const [path, status] of [
        ['switch', 101],
        ['redirect', 302],
      ] as const) {
        const raw = open(fixture.port);
        raw.send(handshake(own, path).replace('Host: a.example', `Host: ${host}`));
        const answer = await raw.until(/\r\n\r\n/);
        expect(statusOf(answer)).toBe(status);
        expect(answer).toContain(reference);
        raw.socket.destroy();
      }
    } finally {
      await odd.stop();
    }
  },
);
