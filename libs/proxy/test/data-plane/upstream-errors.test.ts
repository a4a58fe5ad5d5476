import { waitFor } from '@ephemera/test-support';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { handshake } from './handshake.ts';
import { open, send, statusOf } from './raw.ts';
import { newGeneration, type Fixture, startFixture } from './fixture.ts';
import { answering, OK, startUpstream, type Upstream } from './upstream.ts';

// A failed request is logged once, with its id and the reason, and counted by that reason. HTTP and
// WebSocket follow the same rules.

let fixture: Fixture;
let reasons: string[] = [];
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  fixture = await startFixture({
    responseTimeout: 500,
    onUpstreamFailure: (reason) => void reasons.push(reason),
  });
});
afterAll(() => fixture.stop());
beforeEach(() => {
  reasons = [];
  fixture.warnings.length = 0;
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function upstreamOf(...behaviour: Parameters<typeof startUpstream>): Promise<Upstream> {
  const upstream = await startUpstream(...behaviour);
  cleanups.push(() => upstream.stop());
  return upstream;
}

const get = (id: string) => `GET /demo/${id}/ HTTP/1.1\r\nHost: a.example\r\n\r\n`;

test.each([
  ['bad_status_line', 'HTTP/1.1 099 Low\r\nContent-Length: 2\r\n\r\nok'],
  ['not_http', 'SSH-2.0-OpenSSH_9.2\r\n'],
  ['bad_header_field', 'HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok'],
  ['bare_lf', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok'],
  [
    'duplicate_content_length',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok',
  ],
  [
    'content_length_with_transfer_encoding',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
])('the 502 of an invalid response is logged with %s', async (reason, response) => {
  const id = await fixture.ready((await upstreamOf(answering(response))).port);
  expect(statusOf(await send(fixture.port, get(id)))).toBe(502);
  expect(fixture.warnings).toMatchObject([[{ id, kind: 'broken', reason }, expect.any(String)]]);
  expect(reasons).toEqual([reason]);
});

// Siblings that a single sentence would hide. The detail names what was found.
test.each([
  ['bad_status_line', '"HTTP/1.1 1000 High"', 'HTTP/1.1 1000 High\r\n\r\n'],
  ['bad_status_line', '"HTTP/1.1 200 O\\u0001K"', 'HTTP/1.1 200 O\x01K\r\n\r\n'],
  ['bad_status_line', '"HTTP/1.1 200 O\\u009bK\\u0001"', 'HTTP/1.1 200 O\x9bK\x01\r\n\r\n'],
  ['not_http', 'it begins with "\\u0015\\u0003"', '\x15\x03'],
  [
    'bad_header_field',
    'the name is "Content-Length "',
    'HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok',
  ],
  ['bad_header_field', 'a line begins with white space', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n'],
  ['bad_header_field', 'a line has no colon', 'HTTP/1.1 200 OK\r\nX\r\n\r\n'],
  ['bad_header_field', 'a line has no name', 'HTTP/1.1 200 OK\r\n: x\r\n\r\n'],
  [
    'bad_header_field',
    '"Set-Cookie" contains the byte 0x01',
    'HTTP/1.1 200 OK\r\nSet-Cookie: secret\x01\r\n\r\n',
  ],
  ['bad_content_length', '"-1"', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n'],
  [
    'duplicate_content_length',
    '2 and "3"',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok',
  ],
  [
    'bad_transfer_encoding',
    '"gzip, chunked"',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n',
  ],
  [
    'transfer_encoding_in_http_1_0',
    'HTTP/1.0',
    'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
  ],
  ['unrequested_upgrade', '101', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n'],
])('the log of %s says what was found: %s', async (reason, found, response) => {
  const id = await fixture.ready((await upstreamOf(answering(response))).port);
  const request = get(id).replace('/ HTTP', '/deep/page?secret=1 HTTP').replace('GET', 'DELETE');
  expect(statusOf(await send(fixture.port, request))).toBe(502);
  const [[fields] = []] = fixture.warnings as [Record<string, unknown>][];
  expect(fields).toMatchObject({
    id,
    reason,
    method: 'DELETE',
    path: '/deep/page',
    protocol: 'http',
    host: 'host-a',
    detail: expect.stringContaining(found) as string,
  });
  expect(JSON.stringify(fields?.['detail'])).not.toContain('secret');
});

test.each([
  ['closed_in_head', 'HTTP/1.1 200 OK\r\nContent-Le'],
  ['closed_in_body', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort'],
  ['connection_closed', ''],
])('a close is logged with where it happened: %s', async (reason, part) => {
  const upstream = await upstreamOf(({ socket }) => socket.end(part));
  const raw = open(fixture.port);
  cleanups.push(() => raw.socket.destroy());
  raw.send(get(await fixture.ready(upstream.port)));
  await waitFor('the failure', () => reasons.length > 0);
  expect(reasons).toEqual([reason]);
});

test.each([
  ['wrong_upgrade', 'Upgrade: other\r\n'],
  ['handshake_rejected', 'Upgrade: websocket\r\nSec-WebSocket-Accept: wrong\r\n'],
])('a 101 that does not fit the handshake is logged with %s', async (reason, lines) => {
  const head = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n';
  const upstream = await upstreamOf(answering(`${head}${lines}\r\n`));
  const id = await fixture.ready(upstream.port);
  expect(statusOf(await send(fixture.port, handshake(id)))).toBe(502);
  expect(reasons).toEqual([reason]);
  expect(fixture.warnings).toMatchObject([[{ id, protocol: 'websocket' }, expect.any(String)]]);
});

test('an invalid chunk after a valid head is logged too', async () => {
  const head = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
  const id = await fixture.ready((await upstreamOf(answering(`${head}3\r\nabc\r\nzz\r\n`))).port);
  const raw = open(fixture.port);
  raw.send(get(id));
  await raw.untilClosed();
  expect(reasons).toEqual(['bad_chunk_size']);
  expect(fixture.warnings).toMatchObject([[{ id, reason: 'bad_chunk_size' }, expect.any(String)]]);
});

test('a bug in the handling of a response is a 500 with its stack, not the instance’s 502', async () => {
  const id = await fixture.ready((await upstreamOf(answering(OK))).port);
  const bug = new Error('a bug');
  const raw = open(fixture.port);
  fixture.server.prependOnceListener('request', (_req, res) => {
    const { writeHead } = res;
    res.writeHead = () => {
      res.writeHead = writeHead;
      throw bug;
    };
  });
  raw.send(get(id));
  await raw.until(/^HTTP\/1\.1 500 /);
  raw.socket.destroy();
  expect(fixture.warnings).toMatchObject([[{ id, err: { cause: bug } }, expect.any(String)]]);
  expect(reasons).toEqual(['internal']);
});

test('an incomplete response to a handshake is logged', async () => {
  const head = 'HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n';
  const upstream = await upstreamOf(({ socket }) => socket.end(`${head}4\r\nno`));
  const id = await fixture.ready(upstream.port);
  const raw = open(fixture.port);
  raw.send(handshake(id));
  await raw.untilClosed();
  expect(fixture.warnings).toMatchObject([[{ id, kind: 'broken' }, expect.any(String)]]);
});

test('an invalid response to a handshake is logged with the error of llhttp', async () => {
  const upstream = await upstreamOf(answering('HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n'));
  const id = await fixture.ready(upstream.port);
  expect(statusOf(await send(fixture.port, handshake(id)))).toBe(502);
  expect(reasons).toEqual(['invalid_response']);
  expect(fixture.warnings).toMatchObject([
    [
      { id, err: { cause: { code: expect.stringMatching(/^HPE_/) as string } } },
      expect.any(String),
    ],
  ]);
});

describe.each([
  ['HTTP', get],
  ['WebSocket', (id: string) => handshake(id)],
])('%s', (_protocol, request) => {
  const statusFor = async (id: string) => {
    const raw = open(fixture.port);
    cleanups.push(() => raw.socket.destroy());
    raw.send(request(id));
    return statusOf(await raw.until(/\r\n\r\n/));
  };

  test('no server listens: 502, logged with the connection error', async () => {
    const upstream = await startUpstream(() => undefined);
    await upstream.stop();
    const id = await fixture.ready(upstream.port);
    expect(await statusFor(id)).toBe(502);
    expect(reasons).toEqual(['connect_failed']);
    expect(fixture.warnings).toMatchObject([
      [{ id, kind: 'unreachable', err: { cause: { code: 'ECONNREFUSED' } } }, expect.any(String)],
    ]);
  });

  test('the instance closes the connection: 502', async () => {
    const id = await fixture.ready((await upstreamOf(({ socket }) => socket.end())).port);
    expect(await statusFor(id)).toBe(502);
    expect(reasons).toHaveLength(1);
  });

  test('the instance is silent: 504', async () => {
    const id = await fixture.ready((await upstreamOf(() => undefined)).port);
    expect(await statusFor(id)).toBe(504);
    expect(reasons).toEqual(['response_timeout']);
  });

  test('an instance that has ended meanwhile: the reason of its route, and no upstream failure', async () => {
    const upstream = await upstreamOf(() => undefined);
    const id = await fixture.ready(upstream.port);
    const status = statusFor(id);
    await waitFor('the request', () => upstream.requests.length === 1);
    await fixture.put(id, { state: 'gone', generation: newGeneration(), reason: 'request' });
    expect(await status).toBe(410);
    expect(reasons).toEqual([]);
  });

  test('a route that is superseded each time is resolved three times', async () => {
    const upstream = await upstreamOf(answering(OK));
    const id = await fixture.ready(upstream.port);
    const route = JSON.parse((await fixture.redis.get(fixture.keys.route(id))) ?? '') as object;
    const confirm = fixture.routes.confirm.bind(fixture.routes);
    cleanups.push(() => (fixture.routes.confirm = confirm));
    fixture.routes.confirm = async (asked) => {
      const next = { ...route, generation: newGeneration() };
      await fixture.redis.set(fixture.keys.route(id), JSON.stringify(next));
      return await confirm(asked);
    };
    expect(await statusFor(id)).toBe(502);
    expect(upstream.connections).toHaveLength(3);
    expect(upstream.received).toBe('');
    expect(reasons).toEqual(['route_superseded']);
  });
});
