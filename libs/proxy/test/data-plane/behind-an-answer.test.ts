import { waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { open, send, statusOf } from './raw.ts';
import { newId, type Fixture, startFixture } from './fixture.ts';
import { OK, startUpstream, type Upstream } from './upstream.ts';

// What is wrong on a connection while an answer is on its way is never told in that answer.

const BEGINNING = 'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n';

let fixture: Fixture;
let upstream: Upstream;
let id: string;
/** Has the request that waits answered in full. */
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

test('a CONNECT behind it ends the connection without a word', async () => {
  const client = open(fixture.port);
  client.send(get('begun'));
  await client.until(/some$/);
  client.send('CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n');
  expect(await client.untilClosed()).toMatch(/\r\n\r\nsome$/);
});

test.each([
  ['has begun', ['begun'], ['200']],
  ['has not begun', ['later'], ['200']],
  ['has begun, and one that waits for its turn', ['begun', 'quick'], ['200', '200']],
])('what is malformed behind one that %s ends the connection behind it', async (_, paths, all) => {
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
});

// By its end the half of a head becomes malformed: nobody else tells that the client is gone.
test('a client that leaves within the next head is gone for the instance too', async () => {
  const client = open(fixture.port);
  client.send(`${get('begun')}GET / HTTP/1.1\r\nHo`);
  await client.until(/some$/);
  const asked = upstream.connections.at(-1);
  client.socket.end();
  await client.untilClosed();
  await waitFor('the instance to be left', () => asked?.left === true);
});

test('a body that is malformed behind it is not told either', async () => {
  const client = open(fixture.port);
  client.send(get('begun'));
  await client.until(/some$/);
  client.send(`POST /demo/${id}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`);
  expect(await client.untilClosed()).toMatch(/\r\n\r\nsome$/);
});

test('HTTP/1.0 gets no chunks, whatever it says that it takes', async () => {
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

test('a refused expectation behind it leaves it whole, and nothing follows', async () => {
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

test('who sends much to what is not there hears so', async () => {
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

test('a body that turns bad behind its own answer gets no second one', async () => {
  const client = open(fixture.port);
  client.send(
    `POST /demo/${newId()}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n`,
  );
  await client.until(/^HTTP\/1\.1 404 [^]*not_found.*\}$/);
  client.send('zz\r\n');
  const received = await client.untilClosed();
  expect(received.match(/HTTP\/1\.1 \d+/g)).toHaveLength(1);
});

test('an upload that was asked for hears how it ended, and its connection goes on', async () => {
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
