import { waitFor } from '@ephemera/test-support';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { open, send, statusOf } from './raw.ts';
import { type Fixture, startFixture } from './fixture.ts';
import { answering, OK, startUpstream, type Upstream } from './upstream.ts';

// Hostile requests to the public port. A refused request must reach no upstream, and the bytes
// after it on the connection must not be processed. Otherwise the response to a smuggled request
// could reach another client.

let fixture: Fixture;
let upstream: Upstream;
let id: string;

beforeAll(async () => {
  fixture = await startFixture({ idleTimeout: 500, server: { headersTimeout: 1_000 } });
});
afterAll(() => fixture.stop());
beforeEach(async () => {
  upstream = await startUpstream(answering(OK));
  id = await fixture.ready(upstream.port);
});
afterEach(() => upstream.stop());

const path = (below = '') => `/demo/${id}/${below}`;
const get = (target: string, lines = '') =>
  `GET ${target} HTTP/1.1\r\nHost: a.example\r\n${lines}\r\n`;
const post = (lines: string, body = '') =>
  `POST ${path()} HTTP/1.1\r\nHost: a.example\r\n${lines}\r\n${body}`;
/** The smuggled request. It must never be answered, nor forwarded. */
const smuggled = () => get(path('smuggled'));

/**
 * Sends bytes alone and with a second request after them. Expects the status and the end of the
 * connection.
 */
async function expectRefused(bytes: string, status: number | number[], reaches = 0) {
  for (const behind of ['', smuggled()]) {
    const raw = open(fixture.port);
    raw.send(bytes + behind);
    const answer = await raw.untilClosed();
    expect([status].flat()).toContain(statusOf(answer));
    expect(answer.match(/HTTP\/1\.1 \d/g)).toHaveLength(1);
  }
  // A request that was started before its error appeared is aborted, never completed.
  expect(upstream.requests.length).toBeLessThanOrEqual(2 * reaches);
  if (reaches === 0) expect(upstream.connections).toHaveLength(0);
  else await waitFor('the upstream to close', () => upstream.connections.every((c) => c.left));
  expect(upstream.received).not.toContain('smuggled');
}

describe('framing that two servers could read differently', () => {
  const chunk = '0\r\n\r\n';
  test.each([
    ['both', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', 400],
    ['both, the other way', 'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', 400],
    ['xchunked', 'Transfer-Encoding: xchunked\r\n', 400],
    ['chunked, identity', 'Transfer-Encoding: chunked, identity\r\n', 400],
    ['chunked twice', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', 400],
    ['chunked in one line twice', 'Transfer-Encoding: chunked, chunked\r\n', 400],
    ['space before the colon', 'Transfer-Encoding : chunked\r\n', 400],
    ['control byte', 'Transfer-Encoding: \x0bchunked\r\n', 400],
    ['folded', 'Transfer-Encoding:\r\n chunked\r\n', 400],
    ['empty', 'Transfer-Encoding:\r\n', 400],
    ['identity', 'Transfer-Encoding: identity\r\n', 400],
    ['identity, chunked', 'Transfer-Encoding: identity, chunked\r\n', 501],
    ['gzip, chunked', 'Transfer-Encoding: gzip, chunked\r\n', 501],
    ['gzip and chunked', 'Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n', 501],
  ])('Transfer-Encoding: %s', async (_name, lines, status) => {
    await expectRefused(post(lines, chunk), status);
  });

  test.each(['chunked', 'gzip, chunked'])('HTTP/1.0 with Transfer-Encoding %s', async (coding) => {
    await expectRefused(
      `POST ${path()} HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: ${coding}\r\n\r\n0\r\n\r\n`,
      coding === 'chunked' ? 400 : 501,
    );
  });

  test.each([
    ['twice the same', '3\r\nContent-Length: 3'],
    ['twice differing', '3\r\nContent-Length: 4'],
    ['a list', '3, 3'],
    ['a plus', '+3'],
    ['a minus', '-1'],
    ['hexadecimal', '0x3'],
    ['an underscore', '1_0'],
    ['empty', ''],
    ['more than 64 bits', '18446744073709551619'],
    ['more than 63 bits', '18446704073709551619'],
    ['more than is held exactly', '9007199254740993'],
  ])('Content-Length: %s', async (_name, value) => {
    await expectRefused(post(`Content-Length: ${value}\r\n`, 'abc'), 400);
  });

  test('Content-Length with a space before the colon', async () => {
    await expectRefused(post('Content-Length : 3\r\n', 'abc'), 400);
  });

  test.each([
    ['0x', '0x3\r\nabc\r\n0\r\n\r\n', 400],
    ['a space before', ' 3\r\nabc\r\n0\r\n\r\n', 400],
    ['a space behind', '3 \r\nabc\r\n0\r\n\r\n', 400],
    ['17 digits', 'fffffffffffffffff\r\nabc\r\n0\r\n\r\n', 400],
    ['a bare LF behind it', '3\nabc\r\n0\r\n\r\n', 400],
    ['a bare LF in its extension', '3;a\nb\r\nabc\r\n0\r\n\r\n', 400],
    ['no line end behind its data', '3\r\nabc0\r\n\r\n', 400],
    ['an extension of 20 KB', `3;${'a'.repeat(20_000)}\r\nabc\r\n0\r\n\r\n`, 413],
  ])('a chunk size with %s', async (_name, body, status) => {
    await expectRefused(post('Transfer-Encoding: chunked\r\n', body), status, 1);
  });

  test('a chunk that becomes malformed long after the head aborts the upstream request', async () => {
    const raw = open(fixture.port);
    raw.send(post('Transfer-Encoding: chunked\r\n', '3\r\nabc\r\n'));
    await waitFor('the chunk to arrive', () => upstream.received.includes('abc'));
    // The upstream responds to each head at once, so this one counts as a request.
    raw.send(`zz\r\n${smuggled()}`);
    await raw.untilClosed();
    await waitFor('the upstream to close', () => upstream.connections[0]?.left);
    expect(upstream.received).not.toContain('0\r\n\r\n');
    expect(upstream.received).not.toContain('smuggled');
  });
});

describe('malformed lines', () => {
  test.each([
    ['bare LF', (p: string) => `GET ${p} HTTP/1.1\nHost: a\n\n`],
    ['bare CR', (p: string) => `GET ${p} HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n`],
    ['NUL', (p: string) => `GET ${p} HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n`],
    ['an empty name', (p: string) => `GET ${p} HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n`],
    ['no colon', (p: string) => `GET ${p} HTTP/1.1\r\nHost: a\r\nX\r\n\r\n`],
    ['a leading space', (p: string) => `GET ${p} HTTP/1.1\r\n Host: a\r\n\r\n`],
    ['folding', (p: string) => `GET ${p} HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n`],
  ])('%s', async (_name, bytes) => {
    await expectRefused(bytes(path()), 400);
  });
});

describe('limits', () => {
  test.each([
    ['Content-Length: 5', 'hello'],
    ['Transfer-Encoding: chunked', '0\r\n\r\n'],
  ])('1,100 header lines and then %s', async (line, body) => {
    // Beyond its limit, node:http drops fields but frames the body by them all the same.
    await expectRefused(post(`${'a: b\r\n'.repeat(1_100)}${line}\r\n`, body), 431);
  });

  test('201 header lines are too many, 200 are not', async () => {
    const lines = (count: number) => 'a: b\r\n'.repeat(count - 1);
    await expectRefused(get(path(), lines(201)), 431);
    expect(statusOf(await send(fixture.port, get(path(), lines(200))))).toBe(200);
  });

  test('a header of 33 KiB is too large, one of 31 KiB is not', async () => {
    await expectRefused(get(path(), `X: ${'a'.repeat(33 * 1024)}\r\n`), 431);
    const large = 'a'.repeat(31 * 1024);
    expect(statusOf(await send(fixture.port, get(path(), `X: ${large}\r\n`)))).toBe(200);
    expect(upstream.received).toContain(`\r\nX: ${large}\r\n`);
  });

  test('a target of 33 KiB', async () => {
    await expectRefused(get(`${path()}?${'a'.repeat(33 * 1024)}`), 431);
  });

  test('too many pipelined requests', async () => {
    const quiet = await startUpstream(() => undefined);
    const waiting = await fixture.ready(quiet.port);
    const raw = open(fixture.port);
    raw.send(get(`/demo/${waiting}/`).repeat(300));
    await raw.untilClosed();
    expect(quiet.requests.length).toBeLessThanOrEqual(1);
    await quiet.stop();
  });
});

describe('the target and the method', () => {
  test.each([
    ['an absolute form of another scheme', (p: string) => `ws://other.example${p}`],
    ['an absolute form with a user', (p: string) => `http://u:p@other.example${p}`],
    ['an absolute form without a host', (p: string) => `http://${p}`],
    ['an absolute form with two hosts', (p: string) => `http://a,b${p}`],
    ['an absolute form with a dot segment', (p: string) => `http://other.example${p}../b`],
    ['an absolute form with a backslash', (p: string) => `http://other.example\\${p}`],
    ['a network path', (p: string) => `http:${p}`],
    ['a dot segment', (p: string) => `${p}a/../b`],
    ['a dot segment at the end', (p: string) => `${p}a/..`],
    ['a single dot', (p: string) => `${p}./b`],
    ['an encoded dot segment', (p: string) => `${p}a/%2e%2e/b`],
    ['a half encoded dot segment', (p: string) => `${p}a/.%2E?c`],
    ['a backslash', (p: string) => `${p}a/..\\b`],
    ['a fragment', (p: string) => `${p}a#b`],
    ['a fragment with a query', (p: string) => `${p}a#b?c`],
  ])('%s', async (_name, target) => {
    await expectRefused(get(target(path())), 400);
  });

  test.each([
    ['GET *', 'GET * HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n', 405],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
    ['HTTP/2.0', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 505],
    ['HTTP/0.9', 'GET /\r\n\r\n', 505],
  ])('%s', async (_name, bytes, status) => {
    await expectRefused(bytes, status);
  });

  test.each(['FOO', 'get', 'M-SEARCHING', "X!#$%&'*+.^_`|~1"])(
    'a method that the parser does not know: %s',
    async (method) => {
      const line = `${method} ${path()} HTTP/1.1\r\nHost: a\r\n\r\n`;
      await expectRefused(line, 501);
    },
  );

  test.each(['F(O', 'F\x00O', '\x16\x03\x01', 'F/O'])(
    'a method that is no token: %j',
    async (method) => {
      await expectRefused(`${method} ${path()} HTTP/1.1\r\nHost: a\r\n\r\n`, 400);
    },
  );

  test('TRACE', async () => {
    await expectRefused(`TRACE ${path()} HTTP/1.1\r\nHost: a\r\n\r\n`, 405);
  });

  test('the id is matched on the raw bytes', async () => {
    const answer = await send(fixture.port, get('/demo/a%2f..%2fb'));
    expect(statusOf(answer)).toBe(404);
    expect(statusOf(await send(fixture.port, get(`/demo/%${id.slice(1)}/`)))).toBe(404);
    expect(statusOf(await send(fixture.port, get(`/demo//${id}/`)))).toBe(404);
    expect(upstream.connections).toHaveLength(0);
  });

  test('two slashes are forwarded in origin form, and no Location is built from them', async () => {
    const answer = await send(fixture.port, get(path('/evil.example/x')));
    expect(statusOf(answer)).toBe(200);
    expect(upstream.requests).toEqual(['GET //evil.example/x HTTP/1.1']);
    expect(answer).not.toMatch(/location/i);
  });

  test.each(['%zz', '%00', '%', '%c0%af', '~!$&()*+,;=:@', '{}|^`"<>'])(
    '%s is forwarded unchanged',
    async (odd) => {
      expect(statusOf(await send(fixture.port, get(path(`a${odd}?${odd}`))))).toBe(200);
      expect(upstream.requests).toEqual([`GET /a${odd}?${odd} HTTP/1.1`]);
    },
  );
});

describe('Host', () => {
  const request = (lines: string, version = '1.1') =>
    `GET ${path()} HTTP/${version}\r\n${lines}\r\n`;
  test.each([
    ['missing', ''],
    ['twice', 'Host: a\r\nHost: a\r\n'],
    ['twice differing', 'Host: a\r\nHost: b\r\n'],
    ['with a user', 'Host: p@evil\r\n'],
    ['a list', 'Host: p, evil\r\n'],
    ['empty', 'Host:\r\n'],
    ['with a path', 'Host: a/b\r\n'],
    ['with two colons', 'Host: a::\r\n'],
    ['with a quote', 'Host: a"b\r\n'],
  ])('%s', async (_name, lines) => {
    await expectRefused(request(lines), 400);
  });

  test.each([
    ['empty', 'Host:\r\n'],
    ['twice', 'Host: a\r\nHost: a\r\n'],
    ['a list', 'Host: p, evil\r\n'],
  ])('%s in HTTP/1.0', async (_name, lines) => {
    await expectRefused(request(lines, '1.0'), 400);
  });

  test('missing in HTTP/1.0, which does not require it', async () => {
    const answer = await send(fixture.port, request('', '1.0'));
    expect(statusOf(answer)).toBe(200);
    expect(upstream.received).toMatch(/\r\nhost: 127\.0\.\d\.1:\d+\r\n/);
  });

  // RFC 9112 section 3.2 requires a valid Host in every form of HTTP/1.1.
  test.each([
    ['missing', ''],
    ['twice', 'Host: a\r\nHost: a\r\n'],
    ['with a user', 'Host: p@evil\r\n'],
    ['empty', 'Host:\r\n'],
  ])('%s beside an absolute form', async (_name, lines) => {
    await expectRefused(`GET http://a.example${path()} HTTP/1.1\r\n${lines}\r\n`, 400);
  });
});

describe('fields of one connection, and forged fields', () => {
  /** Returns the head that the upstream received, by names in lower case. */
  async function passedOn(lines: string, method = 'GET'): Promise<Map<string, string>> {
    const answer = await send(
      fixture.port,
      `${method} ${path()} HTTP/1.1\r\nHost: a.example\r\n${lines}\r\n`,
    );
    expect(statusOf(answer)).toBe(200);
    const [, ...fields] = upstream.received.split('\r\n');
    return new Map(
      fields.filter(Boolean).map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
  }

  test('fields that Connection names are removed before the proxy adds its own', async () => {
    const head = await passedOn(
      'Connection: close, Cookie, X-Forwarded-For, x-custom\r\nCookie: a=b\r\nX-Custom: 1\r\nKept: 2\r\n',
    );
    expect(head.has('cookie')).toBe(false);
    expect(head.has('x-custom')).toBe(false);
    expect(head.get('kept')).toBe('2');
    expect(head.get('connection')).toBe('keep-alive');
    expect(head.get('x-forwarded-for')).toBe('127.0.0.1');
  });

  test('Connection cannot remove the framing or the Host', async () => {
    const raw = open(fixture.port);
    raw.send(
      `POST ${path()} HTTP/1.1\r\nHost: a.example\r\nConnection: content-length, host, transfer-encoding\r\n` +
        'Content-Length: 3\r\n\r\nabc',
    );
    await raw.until(/ok$/);
    raw.socket.destroy();
    expect(upstream.received).toMatch(/\r\ncontent-length: 3\r\n\r\nabc$/);
    expect(upstream.received).toMatch(/\r\nhost: a\.example\r\n/);
    expect(upstream.requests).toHaveLength(1);
  });

  test('hop-by-hop fields are stripped', async () => {
    const head = await passedOn(
      'Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: x\r\n' +
        'Proxy: http://evil\r\nTE: trailers\r\nTrailer: X\r\nHTTP2-Settings: x\r\n',
    );
    for (const name of head.keys())
      expect(name).not.toMatch(/^(keep-alive|proxy|te$|trailer|http2)/);
  });

  test('names with underscores, which can imitate real ones, are dropped', async () => {
    const head = await passedOn(
      'X_Forwarded_For: 6.6.6.6\r\nContent_Length: 9\r\nTransfer_Encoding: chunked\r\nX_Own: 1\r\n',
    );
    for (const name of head.keys()) expect(name).not.toContain('_');
  });

  test('forwarded fields of an untrusted peer are replaced', async () => {
    const head = await passedOn(
      'X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n' +
        'X-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Prefix: /evil\r\n' +
        'X-Forwarded-Port: 1\r\nX-Forwarded-Server: evil\r\nX-Forwarded-User: evil\r\n' +
        'X-Forwarded-Access-Token: evil\r\nX-Auth-Request-User: evil\r\nRemote-User: evil\r\n',
    );
    expect(upstream.received).not.toMatch(/6\.6\.6\.6|evil/);
    expect(head.get('x-forwarded-for')).toBe('127.0.0.1');
    expect(head.get('x-real-ip')).toBe('127.0.0.1');
    expect(head.get('x-forwarded-host')).toBe('a.example');
    expect(head.get('x-forwarded-proto')).toBe('http');
    expect(head.get('x-forwarded-prefix')).toBe(`/demo/${id}`);
    expect(head.has('forwarded')).toBe(false);
    expect(head.get('x-forwarded-port')).toBe('80');
  });
});

describe('bodies where none is expected', () => {
  const inner = () => `GET ${path('smuggled')} HTTP/1.1\r\nHost: a\r\n\r\n`;

  test.each(['DELETE', 'OPTIONS'])(
    'a chunked %s that contains a whole request is one request, with new framing',
    async (method) => {
      const body = inner();
      const raw = open(fixture.port);
      raw.send(
        `${method} ${path()} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n` +
          `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
      );
      await raw.until(/ok/);
      await waitFor('the body', () => upstream.received.endsWith('\r\n0\r\n\r\n'));
      raw.socket.destroy();
      const [head = '', ...rest] = upstream.received.split('\r\n\r\n');
      expect(head).toMatch(/\r\ntransfer-encoding: chunked/);
      expect(rest.join('\r\n\r\n')).toBe(`${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`);
      expect(upstream.connections).toHaveLength(1);
    },
  );

  test.each(['GET', 'HEAD'])(
    '%s with a body is framed, and its socket is not used again',
    async (method) => {
      for (let i = 0; i < 2; i++) {
        const raw = open(fixture.port);
        raw.send(`${method} ${path()} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc`);
        await raw.until(/HTTP\/1\.1 200/);
        raw.socket.destroy();
      }
      await waitFor('both sockets to close', () => upstream.connections.every((c) => c.left));
      expect(upstream.connections).toHaveLength(2);
      for (const { received } of upstream.connections) {
        expect(received).toMatch(/\r\ncontent-length: 3\r\n\r\nabc$/);
      }
    },
  );

  test('trailers for framing or for the client’s identity are dropped', async () => {
    const raw = open(fixture.port);
    raw.send(
      post(
        'Transfer-Encoding: chunked\r\nTrailer: X-Forwarded-For, X-Checksum\r\n',
        '3\r\nabc\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\nX-Checksum: 1\r\nCookie: a\r\n\r\n',
      ),
    );
    await waitFor('the trailers', () => upstream.received.includes('X-Checksum'));
    raw.socket.destroy();
    expect(upstream.received).toMatch(/\r\n0\r\nX-Checksum: 1\r\n\r\n$/);
    expect(upstream.received).not.toMatch(/6\.6\.6\.6|Cookie/);
  });

  test('a trailer Content-Length is refused', async () => {
    await expectRefused(
      post('Transfer-Encoding: chunked\r\n', '3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n'),
      [200, 400],
      1,
    );
    expect(upstream.received).not.toMatch(/^content-length/im);
  });
});

describe('upgrades and expectations', () => {
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
  const handshake = (lines: string) =>
    get(path(), `Connection: Upgrade\r\nUpgrade: websocket\r\n${lines}`);

  test.each([
    ['a Content-Length', `${key}Sec-WebSocket-Version: 13\r\nContent-Length: 5\r\n`, 400],
    ['a chunked body', `${key}Sec-WebSocket-Version: 13\r\nTransfer-Encoding: chunked\r\n`, 400],
    ['two keys', `${key}${key}Sec-WebSocket-Version: 13\r\n`, 400],
    ['an offer of h2c, but no key', 'Upgrade: h2c\r\nSec-WebSocket-Version: 13\r\n', 400],
    ['no key', 'Sec-WebSocket-Version: 13\r\n', 400],
    ['a key that is none', 'Sec-WebSocket-Key: abc\r\nSec-WebSocket-Version: 13\r\n', 400],
    ['version 777', `${key}Sec-WebSocket-Version: 777\r\n`, 426],
    ['no version', key, 426],
  ])('a WebSocket handshake with %s', async (_name, lines, status) => {
    await expectRefused(handshake(lines), status);
  });

  // For a handshake with a body, node:http passes another stream than the connection's own.
  test.each([
    ['a handshake', ''],
    ['a handshake with a body', 'Content-Length: 5\r\n'],
  ])('%s after a request without a response yet', async (_what, lines) => {
    const quiet = await startUpstream(() => undefined);
    const waiting = await fixture.ready(quiet.port);
    const raw = open(fixture.port);
    raw.send(
      get(`/demo/${waiting}/`) +
        handshake(`${key}Sec-WebSocket-Version: 13\r\n${lines}`).replace(id, waiting),
    );
    await raw.untilClosed();
    expect(raw.received).toBe('');
    expect(quiet.requests.length).toBeLessThanOrEqual(1);
    await quiet.stop();
  });

  test('an unknown expectation', async () => {
    await expectRefused(post('Expect: the-unexpected\r\nContent-Length: 3\r\n', 'abc'), 417);
    await expectRefused(get('/', 'Expect: the-unexpected\r\n'), 417);
  });

  test('the checks apply to Expect: 100-continue too', async () => {
    await expectRefused(
      post('Expect: 100-continue\r\nTransfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'),
      501,
    );
    await expectRefused(
      `POST ${path('../x')} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc`,
      400,
    );
  });
});

const HANDSHAKE_WITH_BODY =
  'GET /demo/x/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: 5\r\n\r\n';

test.each([
  ['what is no request', 'an expectation', 'Expect: the-unexpected\r\n', '\0\r\n\r\n'],
  ['what is no request', 'a coding', 'Transfer-Encoding: gzip, chunked\r\n', '\0\r\n\r\n'],
  ['CONNECT', 'a second Host', 'Host: b\r\n', 'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a handshake with a body', 'a second Host', 'Host: b\r\n', HANDSHAKE_WITH_BODY],
  ['a handshake with a body', 'an expectation', 'Expect: the-unexpected\r\n', HANDSHAKE_WITH_BODY],
])('%s after a refusal of %s gets no response', async (_what, _why, lines, behind) => {
  const raw = open(fixture.port);
  raw.send(get(path(), lines));
  await raw.until(/HTTP\/1\.1 4|HTTP\/1\.1 5/);
  raw.send(behind);
  await raw.untilClosed();
  const together = open(fixture.port);
  together.send(get(path(), lines) + behind);
  await together.untilClosed();
  expect(raw.received.match(/HTTP\/1\.1 \d/g)).toHaveLength(1);
  expect(together.received.match(/HTTP\/1\.1 \d/g)).toHaveLength(1);
});

test('a request after a refused expectation is not processed, whenever it arrives', async () => {
  for (let pause = 0; pause < 20; pause++) {
    const raw = open(fixture.port);
    raw.send(post('Expect: the-unexpected\r\nContent-Length: 3\r\n', 'abc'));
    await new Promise((resolve) => setTimeout(resolve, pause / 4));
    raw.send(smuggled());
    await raw.untilClosed();
  }
  expect(upstream.connections).toHaveLength(0);
});

describe('slow clients', () => {
  test.each([
    ['silence', ''],
    ['a head that does not end', 'GET / HTTP/1.1\r\nHost: a\r\n'],
  ])('%s is disconnected', async (_name, bytes) => {
    const raw = open(fixture.port);
    raw.send(bytes);
    await raw.untilClosed();
    expect([408, NaN]).toContain(statusOf(raw.received));
  });
});

test('the process still serves afterwards', async () => {
  expect(statusOf(await send(fixture.port, get(path())))).toBe(200);
});
