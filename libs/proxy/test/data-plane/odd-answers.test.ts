import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Fixture, startFixture } from './fixture.ts';
import { open, send, statusOf } from './raw.ts';
import { answering, OK, startUpstream, type Upstream } from './upstream.ts';

// Unusual responses that have one reading only, as nginx and haproxy pass them: none of them is a 502.

let fixture: Fixture;
let upstream: Upstream;

beforeAll(async () => {
  fixture = await startFixture({ responseTimeout: 5_000 });
});
afterAll(() => fixture.stop());
afterEach(() => upstream.stop());

async function answers(answer: string, ends = false): Promise<string> {
  const respond = answering(answer);
  upstream = await startUpstream((connection, chunk) => {
    respond(connection, chunk);
    if (ends) connection.socket.end();
  });
  return fixture.ready(upstream.port);
}

const request = (method: string, id: string) =>
  `${method} /demo/${id}/ HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n`;

async function ask(method: string, id: string): Promise<string> {
  const raw = open(fixture.port);
  raw.send(request(method, id));
  return raw.untilClosed();
}

test.each([
  ['GET', 'a length', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTrailer: X-Sum\r\n\r\nok'],
  ['GET', 'no name', 'HTTP/1.1 200 OK\r\nTrailer:\r\nContent-Length: 2\r\n\r\nok'],
  ['GET', 'two fields', 'HTTP/1.1 200 OK\r\nTrailer: X\r\nTrailer: Y\r\nContent-Length: 0\r\n\r\n'],
  ['HEAD', 'no framing', 'HTTP/1.1 200 OK\r\nTrailer: Grpc-Status\r\n\r\n'],
  ['HEAD', 'a length', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTrailer: X-Sum\r\n\r\n'],
  ['HEAD', 'chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n'],
  ['GET', 'status 304', 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nTrailer: X-Sum\r\n\r\n'],
  ['GET', 'status 204', 'HTTP/1.1 204 No Content\r\nTrailer: X-Sum\r\n\r\n'],
  ['GET', 'status 103', `HTTP/1.1 103 Early Hints\r\nTrailer: X\r\n\r\n${OK}`],
  ['GET', 'HTTP/1.0', 'HTTP/1.0 200 OK\r\nTrailer: X-Sum\r\nContent-Length: 2\r\n\r\nok'],
])('%s with Trailer and %s: the field is removed', async (method, _, answer) => {
  const received = await ask(method, await answers(answer));
  const statuses = (text: string) => text.match(/(?<=HTTP\/1\.[01] )\d{3}/g);
  expect(statuses(received)).toEqual(statuses(answer));
  expect(received).not.toMatch(/^trailer:/im);
  expect(received.includes('\r\n\r\nok')).toBe(answer.includes('\r\n\r\nok'));
});

test('Trailer on a body that ends with the connection is removed', async () => {
  const answer = 'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nConnection: close\r\n\r\nok';
  const received = await ask('GET', await answers(answer, true));
  expect(received).toMatch(/^HTTP\/1\.1 200 /);
  expect(received).toMatch(/\r\n\r\n2\r\nok\r\n0\r\n\r\n$/);
  expect(received).not.toMatch(/^trailer:/im);
});

test('Trailer and the trailers of a chunked body pass', async () => {
  const head = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n';
  const received = await ask('GET', await answers(`${head}2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n`));
  expect(received).toMatch(/^trailer: X-Sum\r\n/im);
  expect(received).toMatch(/\r\n0\r\nX-Sum: 1\r\n\r\n$/);
});

test.each([
  ['a repeated Content-Length', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\ncontent-length: 2\r\n'],
  ['no reason phrase', 'HTTP/1.1 200\r\nContent-Length: 2\r\n'],
  ['an empty reason phrase', 'HTTP/1.1 200 \r\nContent-Length: 2\r\n'],
  ['Latin-1 in the reason phrase', 'HTTP/1.1 200 \xe9t\xe9\tx\r\nContent-Length: 2\r\n'],
  ['bytes above 127 in a value', 'HTTP/1.1 200 OK\r\nX-A: \xe9\x80\xff\r\nContent-Length: 2\r\n'],
  ['an empty value', 'HTTP/1.1 200 OK\r\nX-A:\r\nContent-Length: 2\r\n'],
  ['leading zeros of a length', 'HTTP/1.1 200 OK\r\nContent-Length: 0002\r\n'],
  [
    'an offer to upgrade',
    'HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n',
  ],
  ['Upgrade alone', 'HTTP/1.1 200 OK\r\nUpgrade: h2,h2c\r\nContent-Length: 2\r\n'],
  ['Keep-Alive', 'HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=100, x\r\nContent-Length: 2\r\n'],
  ['Proxy-Connection', 'HTTP/1.1 200 OK\r\nProxy-Connection: close\r\nContent-Length: 2\r\n'],
  ['an empty Connection', 'HTTP/1.1 200 OK\r\nConnection:\r\nContent-Length: 2\r\n'],
  ['a nominated length', 'HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 2\r\n'],
  ['HTTP/1.0 keep-alive', 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n'],
  ['many fields', `HTTP/1.1 200 OK\r\n${'X-A: a\r\n'.repeat(150)}Content-Length: 2\r\n`],
])('%s passes', async (_, head) => {
  const received = await ask('GET', await answers(`${head}\r\nok`));
  expect(received).toMatch(/^HTTP\/1\.1 200 /);
  expect(received.match(/^content-length: /gim)).toHaveLength(1);
  expect(received).toMatch(/\r\n\r\nok$/);
});

test.each([
  ['HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['GET', 'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['GET', 'HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['GET', 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n'],
  ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n'],
])('%s: %j passes without a body', async (method, answer) => {
  const received = await ask(method, await answers(answer));
  expect(statusOf(received)).toBe(Number(answer.slice(9, 12)));
  expect(received).toMatch(/^[^]*?\r\n\r\n$/);
});

test('a repeated length frames the body, and the connection serves the next request', async () => {
  const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok';
  const id = await answers(answer);
  for (let i = 0; i < 2; i++) expect(await send(fixture.port, request('GET', id))).toMatch(/ok$/);
  expect(upstream.connections).toHaveLength(1);
});
