import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mountRoutes } from '@ephemera/http';
import { createTokens, hashToken } from '@ephemera/http';
import { createLogger } from '@ephemera/process';
import type { TokenEntries } from '@ephemera/config';
import { EventFeed, connectRedis, keysOf, redisInstances } from '@ephemera/store';
import { sampleDraft, sampleTemplate, startRedis, waitFor } from '@ephemera/test-support';
import type { StartedRedis } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import Koa from 'koa';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { errorHandler } from '../failure-page.ts';
import { eventRoutes } from './events-api.ts';
import { requireToken } from './authorize.ts';

const authThrottle = {
  isBlocked: () => Promise.resolve(undefined),
  recordFailure: () => Promise.resolve(undefined),
};

const READER = 'eph_reader-0123456789';
const AS_READER = { authorization: `Bearer ${READER}` };

let server: StartedRedis;
let sites = 0;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());

async function open(heartbeat = 15_000, remembered = 1_000) {
  const keys = keysOf(`sse-${++sites}`);
  const redis = new Redis(server.url);
  const blocking = connectRedis(server.url, 'watch', () => undefined);
  const feed = new EventFeed({ redis, blocking, keys, remembered });
  feed.start();
  let asked = 0;
  const events = {
    now: () => feed.now(),
    next: (...args: Parameters<EventFeed['next']>) => {
      asked++;
      return feed.next(...args);
    },
  };
  const entries: Record<string, TokenEntries[string]> = {
    reader: { hash: [hashToken(READER)], scopes: ['read'] },
  };
  const tokens = createTokens('the-admin-of-all-of-this', () => entries);
  const app = new Koa();
  app.on('error', () => undefined);
  app.use(errorHandler(createLogger('proxy', 'silent')));
  const stopping = new AbortController();
  app.use(requireToken({ tokens, authThrottle, addressOf: () => '127.0.0.1' }));
  const routes = eventRoutes({ events, tokens, heartbeat, stopping: stopping.signal });
  app.use(mountRoutes(routes, { unknown: 'refuse', exact: true, checkResponses: true }));
  const handle = app.callback();
  const http = createServer((req, res) => void handle(req, res));
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    http.closeAllConnections();
    http.close();
    await feed.stop();
    redis.disconnect();
  });
  const instances = redisInstances(redis, keys);
  return {
    redis,
    keys,
    http,
    asked: () => asked,
    entries,
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/v1/events`,
    async life(name = 'demo', metadata = {}) {
      const template = sampleTemplate({ name });
      const { id, generation } = await instances.create(sampleDraft({ template, metadata }));
      await instances.assignToHost(id, generation, 'a');
      await instances.markReady(id, generation, '10.0.0.9');
      const outcome = await instances.startDraining(id, 'idle');
      if (outcome.kind === 'draining') await instances.finalize(id, outcome.instance.generation);
      return id;
    },
  };
}

interface ReceivedEvent {
  readonly id: string;
  readonly event: string;
  readonly data: Record<string, unknown>;
}

/** Reads a stream as a browser's EventSource does. */
function listen(url: string, headers: Record<string, string> = {}) {
  const leaving = new AbortController();
  const events: ReceivedEvent[] = [];
  const source = { events, lastId: '', leave: () => leaving.abort(), status: 0, ended: false };
  const reading = (async () => {
    const answer = await fetch(url, {
      headers: { ...AS_READER, ...headers },
      signal: leaving.signal,
    });
    source.status = answer.status;
    let text = '';
    for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += chunk;
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const fields = new Map(
          text
            .slice(0, end)
            .split('\n')
            .map((line) => [line.split(':')[0] ?? '', line.slice(line.indexOf(':') + 1).trim()]),
        );
        text = text.slice(end + 2);
        source.lastId = fields.get('id') ?? source.lastId;
        const data = fields.get('data');
        if (data === undefined) continue;
        const event = fields.get('event') ?? 'message';
        events.push({ id: source.lastId, event, data: JSON.parse(data) as ReceivedEvent['data'] });
      }
    }
    source.ended = true;
  })().catch(() => undefined);
  onTestFinished(async () => {
    leaving.abort();
    await reading;
  });
  return source;
}

const LIFE = ['pending', 'starting', 'ready', 'draining', 'gone'];

test('a client receives the events of an instance as they happen, with the end reason', async () => {
  const { url, life } = await open();
  const client = listen(url);
  await waitFor('the stream', () => client.lastId !== '');
  const id = await life('demo', { owner: 'ada' });
  await waitFor('the end', () => client.events.length === 5);
  expect(client.events.map(({ event }) => event)).toEqual(LIFE);
  const last = client.events[4];
  expect(last?.data).toMatchObject({
    id,
    type: 'gone',
    reason: 'idle',
    metadata: { owner: 'ada' },
  });
  expect(last?.data['seq']).toBe(last?.id);
  expect(String(last?.data['time'])).toMatch(/^\d{4}-.*Z$/);
});

// A client loses its connection repeatedly and still receives each event exactly once.
test('Last-Event-ID continues a lost stream', async () => {
  const { url, life } = await open();
  const first = listen(url);
  await waitFor('the stream', () => first.lastId !== '');
  const heard: string[] = [];
  let place = first.lastId;
  first.leave();
  for (let round = 0; round < 5; round++) {
    await life();
    const again = listen(url, { 'last-event-id': place });
    await waitFor('some events', () => again.events.length >= 5);
    heard.push(...again.events.map(({ event }) => event));
    place = again.lastId;
    again.leave();
  }
  expect(heard).toEqual(Array(5).fill(LIFE).flat());
});

test('filters skip other events, and heartbeats move the position past them', async () => {
  const { url, life } = await open(50);
  const all = listen(url);
  await waitFor('the stream', () => all.lastId !== '');
  const id = await life('demo');
  await life('other');
  const [killRequests, text, template] = [
    'type=gone,failed',
    `instance=${id}`,
    'template=other&type=ready',
  ];
  const sources = [killRequests, text, template].map((query) =>
    listen(`${url}?${query}`, { 'last-event-id': '0' }),
  );
  await waitFor('everything', () =>
    [all, ...sources].every(
      ({ lastId }) => all.events.length === 10 && lastId === all.events[9]?.id,
    ),
  );
  expect(sources.map(({ events: reported }) => reported.length)).toEqual([2, 5, 1]);
  expect(sources[1]?.events.every(({ data }) => data['id'] === id)).toBe(true);
  expect(sources[2]?.events[0]?.data).toMatchObject({ template: 'other', type: 'ready' });
});

test('a position that is no longer stored gives a gap event', async () => {
  const { url, life, redis, keys } = await open(15_000, 1);
  await life();
  await redis.xtrim(keys.events, 'MAXLEN', 1);
  const client = listen(url, { 'last-event-id': '1-1' });
  await waitFor('the rest', () => client.events.length === 2);
  expect(client.events.map(({ event }) => event)).toEqual(['gap', 'gone']);
  expect(client.events[0]?.data).toMatchObject({ after: '1-1' });
});

test('an invalid query or position is refused', async () => {
  const { url } = await open();
  for (const bad of ['?type=born', '?instance=../x', '?what=1']) {
    const answer = await fetch(url + bad, { headers: AS_READER });
    expect([bad, answer.status]).toEqual([bad, 400]);
  }
  expect((await fetch(url, { headers: { ...AS_READER, 'last-event-id': 'x' } })).status).toBe(400);
});

// A token can be revoked without a restart. Its open streams must end.
test('a stream ends when its token is revoked or loses scope; others continue', async () => {
  const { url, entries, life } = await open();
  const lost = listen(url);
  const kept = listen(url, { authorization: 'Bearer the-admin-of-all-of-this' });
  await waitFor('both streams', () => lost.lastId !== '' && kept.lastId !== '');
  const { reader } = entries;
  delete entries['reader'];
  await waitFor('its end', () => lost.ended);
  if (!reader) throw new Error('no reader');
  entries['reader'] = reader;
  const lessened = listen(url);
  await waitFor('the stream', () => lessened.lastId !== '');
  entries['reader'] = { ...reader, scopes: ['create'] };
  await waitFor('its end', () => lessened.ended);
  await life();
  await waitFor('the events', () => kept.events.length === 5);
  expect([lost.events, lessened.events, kept.ended]).toEqual([[], [], false]);
});

// When many clients disconnect, no read of Redis remains for them.
test('a disconnected client frees its resources', async () => {
  const { url, life, http, asked, redis } = await open(50);
  const clients = Array.from({ length: 50 }, () => listen(url));
  await waitFor('all streams', () => clients.every(({ lastId }) => lastId !== ''));
  const connections = Number(/connected_clients:(\d+)/.exec(await redis.info('clients'))?.[1]);
  expect(connections).toBeLessThan(10);
  await life();
  await waitFor('all told', () => clients.every(({ events: reported }) => reported.length === 5));
  for (const client of clients) client.leave();
  const openSockets = () =>
    new Promise<number>((resolve) => http.getConnections((_, n) => resolve(n)));
  await waitFor('no connection', async () => (await openSockets()) === 0);
  const before = asked();
  await life();
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(asked()).toBe(before);
});

// The replica must not buffer events for a client that reads nothing.
test('no events are read for a client that does not read', async () => {
  const { url, redis, keys, asked } = await open();
  const pages = 100;
  const metadata = JSON.stringify({ note: 'x'.repeat(8_000) });
  for (let i = 0; i < pages * 20; i++) {
    const fields = ['type', 'ready', 'id', 'x', 'state', 'ready', 'generation', 1, 'expiresAt', 1];
    await redis.xadd(keys.events, '*', ...fields, 'metadata', metadata, 'template', 'demo');
  }
  const answer = await fetch(url, { headers: { ...AS_READER, 'last-event-id': '0' } });
  let last = -1;
  await waitFor('a standstill', async () => {
    const before = last;
    last = asked();
    await new Promise((resolve) => setTimeout(resolve, 100));
    return last === before;
  });
  expect(last).toBeLessThan(10);
  await answer.body?.cancel();
});

test('a stream that ends because Redis is unavailable says so', async () => {
  const site = await open();
  site.redis.disconnect();
  const headers = { ...AS_READER, 'last-event-id': '1-0' };
  const response = await fetch(site.url, { headers });
  expect(await response.text()).toMatch(
    /^retry: 1000\nid: 1-0\n:\n\n: Redis is unavailable\..*\n\n$/,
  );
});
