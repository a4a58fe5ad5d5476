import { waitFor } from '@ephemera/test-support';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { open } from './raw.ts';
import { type Fixture, startFixture } from './fixture.ts';
import { answering, OK, startUpstream, type Upstream } from './upstream.ts';

let fixture: Fixture;
let attacked: Upstream;

beforeEach(async () => {
  fixture = await startFixture();
  attacked = await startUpstream(() => undefined);
});

afterEach(async () => {
  await fixture.stop();
  await attacked.stop();
});

/** Clients in the middle of their uploads; the instance has received the start of each. */
async function uploads(count: number) {
  const id = await fixture.ready(attacked.port);
  const clients = Array.from({ length: count }, () => open(fixture.port));
  for (const client of clients) {
    client.send(`POST /demo/${id}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`);
  }
  await waitFor('all uploads to have begun', () => attacked.requests.length === count, 20_000);
  return clients;
}

const chunkOf = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
const pieces = () => attacked.received.match(/<[^>]*>/g) ?? [];

test('a burst of upload chunks does not delay another request', async () => {
  const other = await startUpstream(answering(OK));
  const id = await fixture.ready(other.port);
  const asker = open(fixture.port);
  const ask = () => asker.send(`GET /demo/${id}/ HTTP/1.1\r\nHost: a\r\n\r\n`);
  ask();
  await asker.until(/ok$/);
  const clients = await uploads(400);
  const answered = new Promise<number>((resolve) => {
    asker.socket.once('data', () => resolve(pieces().length));
  });
  for (const client of clients) client.send(chunkOf('<x>'));
  ask();
  expect(await answered).toBeLessThan(200);
  await waitFor('all pieces to come', () => pieces().length === 400);
  for (const { socket } of [...clients, asker]) socket.destroy();
  await other.stop();
});

test('a waiting chunk stays in order, also before the end of the body', async () => {
  const clients = await uploads(40);
  const chunks = Array.from({ length: 50 }, (_, piece) => chunkOf(`<${piece}>`));
  chunks[20] = chunkOf(`<${'x'.repeat(20_000)}>`);
  for (const bytes of [...chunks.slice(0, -1), `${chunks.at(-1) ?? ''}0\r\n\r\n`]) {
    for (const client of clients) client.send(bytes);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const lastChunks = () => attacked.received.match(/\r\n0\r\n\r\n/g) ?? [];
  await waitFor('all to come', () => pieces().length === 40 * 50 && lastChunks().length === 40);
  for (const { received } of attacked.connections) {
    expect(received.slice(received.indexOf('3\r\n<0>'))).toBe(`${chunks.join('')}0\r\n\r\n`);
  }
  for (const client of clients) client.socket.destroy();
});

test('a client that disconnects while a chunk waits leaves nothing behind', async () => {
  const clients = await uploads(100);
  for (const client of clients) client.send(chunkOf('<x>'));
  for (const client of clients) client.socket.resetAndDestroy();
  await waitFor('all to be let go', () => attacked.connections.every(({ left }) => left));
  expect(fixture.dataPlane.inFlight()).toBe(0);
});

test('a client that gets its response while a chunk waits can send more requests', async () => {
  const refusing = await startUpstream((_connection, chunk) => {
    if (chunk.includes('<x>')) answerAll();
  });
  let isAnswered = false;
  const answerAll = () => {
    if (isAnswered) return;
    isAnswered = true;
    for (const { socket } of refusing.connections) {
      socket.write('HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n');
    }
  };
  const id = await fixture.ready(refusing.port);
  const clients = Array.from({ length: 100 }, () => open(fixture.port));
  const head = `POST /demo/${id}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 100003\r\n\r\n`;
  for (const client of clients) client.send(head);
  await waitFor('all uploads to have begun', () => refusing.requests.length === 100, 20_000);
  for (const client of clients) client.send('<x>');
  await Promise.all(clients.map((client) => client.until(/413/)));
  const other = await startUpstream(answering(OK));
  const otherId = await fixture.ready(other.port);
  const next = `GET /demo/${otherId}/ HTTP/1.1\r\nHost: a\r\n\r\n`;
  for (const client of clients) client.send('x'.repeat(100_000) + next);
  await Promise.all(clients.map((client) => client.until(/ok$/)));
  for (const { socket } of clients) socket.destroy();
  await refusing.stop();
  await other.stop();
});
