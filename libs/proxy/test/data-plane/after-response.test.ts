import { waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { open, send, statusOf } from './raw.ts';
import { newId, type Fixture, startFixture } from './fixture.ts';
import { OK, startUpstream, type Upstream } from './upstream.ts';

// An error on a connection must never appear in the response that is being sent.

const BEGINNING = 'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n';

let fixture: Fixture;
let upstream: Upstream;
let id: string;
/** Completes the response of the pending request. */
let release: () => void;

beforeAll(async () => {
  fixture = await startFixture();
  upstream = await startUpstream(({ socket }, chunk) => {
    if (chunk.startsWith('GET /begun ')) {
      socket.write(`${BEGINNING}some`);
      release = () => socket.write('rest');
    }
    if (chunk.startsWith('GET /later ')) release = () => socket.write(`${BEGINNING}somerest`);
    if (chunk.startsWith('GET /quick ')) socket.write(OK);
    if (chunk.startsWith('POST /asked ')) socket.write('HTTP/1.1 100 Continue\r\n\r\n');
    if (chunk.startsWith('GET /old ')) socket.end('HTTP/1.1 200 OK\r\n\r\nuntil the end');
  });
  id = await fixture.ready(upstream.port);
});
afterAll(async () => {
  await fixture.stop();
  await upstream.stop();
});

const get = (path: string) => `GET /demo/${id}/${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

test('a CONNECT after the request ends the connection without a response', async () => {
  const client = open(fixture.port);
  client.send(get('begun'));
  await client.until(/some$/);
  client.send('CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n');
  expect(await client.untilClosed()).toMatch(/\r\n\r\nsome$/);
});

test.each([
  ['has started', ['begun'], ['200']],
  ['has not started', ['later'], ['200']],
  ['has started, and a pipelined one', ['begun', 'quick'], ['200', '200']],
])(
  'malformed bytes after a response that %s end the connection after it',
  async (_, paths, all) => {
    const client = open(fixture.port);
    const [first = ''] = paths;
    const before = upstream.requests.length;
    client.send(`${paths.map(get).join('')}\0\r\n\r\n${get('never')}`);
    if (first === 'begun') await client.until(/some$/);
    else await waitFor('the request', () => upstream.requests.length > before);
    release();
    const received = await client.untilClosed();
    expect(received.match(/(?<=HTTP\/1\.1 )\d+/g)).toEqual(all);
    expect(received).toContain('\r\n\r\nsomerest');
    expect(client.error).toBeUndefined();
    expect(upstream.received).not.toContain('/never');
  },
);

// When the client ends mid-header, llhttp reports an error; there is no other event for it.
test('a client that disconnects in the next head is disconnected from the instance too', async () => {
  const client = open(fixture.port);
  client.send(`${get('begun')}GET / HTTP/1.1\r\nHo`);
  await client.until(/some$/);
  const asked = upstream.connections.at(-1);
  client.socket.end();
  await client.untilClosed();
  await waitFor('the upstream connection to close', () => asked?.left === true);
});

test('a malformed body after the request gets no response either', async () => {
  const client = open(fixture.port);
  client.send(get('begun'));
  await client.until(/some$/);
  client.send(`POST /demo/${id}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`);
  expect(await client.untilClosed()).toMatch(/\r\n\r\nsome$/);
});

test('HTTP/1.0 gets no chunks, even with a TE field', async () => {
  const client = open(fixture.port);
  client.send(`GET /demo/${id}/old HTTP/1.0\r\nHost: a\r\nTE: chunked\r\n\r\n`);
  const received = await client.untilClosed();
  expect(received).not.toMatch(/^transfer-encoding:/im);
  expect(received).toMatch(/\r\n\r\nuntil the end$/);
});

test.each(['evil, 100-continue', 'x-100-continue', '100-continue\r\nExpect: evil'])(
  'the expectation %o is refused',
  async (expectation) => {
    const body = `Content-Length: 1\r\nExpect: ${expectation}\r\n\r\n`;
    const answer = await send(fixture.port, `POST /demo/${id}/ HTTP/1.1\r\nHost: a\r\n${body}`);
    expect(statusOf(answer)).toBe(417);
  },
);

test('a refused expectation does not affect the response before it, and ends the connection', async () => {
  const client = open(fixture.port);
  const before = upstream.requests.length;
  const refused = 'GET / HTTP/1.1\r\nHost: a\r\nExpect: evil\r\n\r\n';
  client.send(get('later') + refused + get('never'));
  await waitFor('the request', () => upstream.requests.length > before);
  release();
  const received = await client.untilClosed();
  expect(received.match(/(?<=HTTP\/1\.1 )\d+/g)).toEqual(['200', '417']);
  expect(received).toContain('\r\n\r\nsomerest');
  expect(upstream.received).not.toContain('/never');
});

test('a large upload to an unknown id gets its 404', async () => {
  const client = open(fixture.port);
  const length = 10_000_000;
  client.send(`POST /demo/${newId()}/ HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`);
  client.send('x'.repeat(length));
  await client.until(/^HTTP\/1\.1 404 [^]*not_found/);
  await waitFor('all of it to be taken', () => client.socket.writableLength === 0);
  expect(client.error).toBeUndefined();
  client.send(get('begun'));
  await client.until(/HTTP\/1\.1 200[^]*some$/);
  client.socket.destroy();
});

test('a body that becomes malformed after its response gets no second response', async () => {
  const client = open(fixture.port);
  client.send(
    `POST /demo/${newId()}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n`,
  );
  await client.until(/^HTTP\/1\.1 404 [^]*not_found.*\}$/);
  client.send('zz\r\n');
  const received = await client.untilClosed();
  expect(received.match(/HTTP\/1\.1 \d+/g)).toHaveLength(1);
});

test('an upload after 100 Continue gets its response, and its connection stays open', async () => {
  const client = open(fixture.port);
  const length = 10_000_000;
  client.send(
    `POST /demo/${id}/asked HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`,
  );
  await client.until(/^HTTP\/1\.1 100 /);
  upstream.connections.at(-1)?.socket.resetAndDestroy();
  await client.until(/HTTP\/1\.1 502 [^]*upstream_unreachable/);
  client.send('x'.repeat(length) + get('begun'));
  await client.until(/HTTP\/1\.1 200[^]*some$/);
  expect(client.error).toBeUndefined();
  client.socket.destroy();
});
