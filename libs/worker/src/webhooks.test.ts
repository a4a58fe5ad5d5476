import { createServer } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { EventResource } from '@ephemera/contract';
import type { Webhook } from '@ephemera/domain';
import { createLogger } from '@ephemera/process';
import { WEBHOOK_OPTIONS, WEBHOOK_QUEUE } from '@ephemera/queue';
import { connectRedis, keysOf, redisEventGroup, redisInstances } from '@ephemera/store';
import { sampleDraft, sampleTemplate, startRedis, waitFor } from '@ephemera/test-support';
import type { StartedRedis } from '@ephemera/test-support';
import { Queue } from 'bullmq';
import { Webhook as Verifier } from 'standardwebhooks';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { keepDelivery, startWebhooks } from './webhooks.ts';

/** Not ASCII, because its UTF-8 bytes are the key. */
const SECRET = 'a secret of twenty-six lettérs';
let server: StartedRedis;
let sites = 0;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());

interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly event: EventResource;
}

/** A receiver that answers with a given status, or not at all. */
async function receiver(answer: (event: EventResource, nth: number) => number | undefined) {
  const received: Received[] = [];
  const http = createServer((req, res) => {
    void text(req).then((body) => {
      const event = JSON.parse(body) as EventResource;
      received.push({ headers: req.headers, body, event });
      const status = answer(event, received.length);
      if (status !== undefined) res.writeHead(status, { location: '/elsewhere' }).end('thanks');
      else res.destroy();
    });
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    http.closeAllConnections();
    http.close();
  });
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/hook?key=hidden-in-url`;
  return { received, url };
}

/** A deployment whose events have already been read; without a reader if `fresh`. */
async function open(webhooks: readonly Omit<Webhook, 'secret'>[], fresh?: 'fresh') {
  const keys = keysOf(`hooks-${++sites}`);
  const redis = connectRedis(server.url, 'job', () => undefined);
  const queue = new Queue(WEBHOOK_QUEUE, { connection: redis, prefix: keys.queuePrefix });
  const log: string[] = [];
  const logger = createLogger('worker', 'info', { write: (line) => void log.push(line) });
  let signed = webhooks.map((webhook) => ({ ...webhook, secret: SECRET }));
  const current = () => signed;
  const begin = () => {
    const blocking = connectRedis(server.url, 'watch', () => undefined);
    const onDropped = () => undefined;
    return startWebhooks({ webhooks: current, redis, blocking, keys, logger, onDropped });
  };
  const start = () => {
    const started = begin();
    let stopped: Promise<void> | undefined;
    const once = () => (stopped ??= started.then((stop) => stop()));
    onTestFinished(once);
    return { started, stop: once };
  };
  onTestFinished(async () => {
    await queue.close();
    redis.disconnect();
  });
  const blocking = connectRedis(server.url, 'job', () => undefined);
  const dead = redisEventGroup({ redis, blocking }, keys, 'webhooks', 'dead');
  if (!fresh) await dead.ensure();
  onTestFinished(() => blocking.disconnect());
  const instances = redisInstances(redis, keys);
  return {
    redis,
    keys,
    queue,
    log,
    start,
    dead,
    /** Delivers as a worker does that reloads its configuration. */
    async keep() {
      const delivery = keepDelivery(current, begin);
      onTestFinished(() => delivery.stop());
      await delivery.update();
      return async (...now: Webhook[]) => {
        signed = now;
        await delivery.update();
      };
    },
    async life(name = 'demo') {
      const template = sampleTemplate({ name });
      const { id, generation } = await instances.create(sampleDraft({ template }));
      await instances.assignToHost(id, generation, 'a');
      await instances.markReady(id, generation, '10.0.0.9');
      const outcome = await instances.startDraining(id, 'request');
      if (outcome.kind === 'draining') await instances.finalize(id, outcome.instance.generation);
      return id;
    },
  };
}

const all = { events: undefined, templates: undefined };
const LIFE = ['draining', 'gone', 'pending', 'ready', 'starting'];

/** Verifies a delivery as a receiver does, with the library of Standard Webhooks. */
function isGenuine({ headers, body }: Received, secret: string): boolean {
  try {
    new Verifier(Buffer.from(secret), { format: 'raw' }).verify(
      body,
      headers as Record<string, string>,
    );
    return true;
  } catch {
    return false;
  }
}

test('every event of an instance is delivered once and signed, with any number of workers', async () => {
  const { received, url } = await receiver(() => 204);
  const { life, start, queue } = await open([{ name: 'all', url, ...all }]);
  for (let i = 0; i < 3; i++) start();
  const ids = await Promise.all(Array.from({ length: 20 }, () => life()));
  await waitFor('all deliveries', async () => (await queue.getCompletedCount()) === 100);
  expect(received).toHaveLength(100);
  for (const id of ids) {
    const own = received.filter(({ event }) => event.id === id);
    expect(own.map(({ event }) => event.type).sort()).toEqual(LIFE);
  }
  expect(received.every((item) => isGenuine(item, SECRET))).toBe(true);
  expect(received.some((item) => isGenuine(item, 'another'))).toBe(false);
  const [first] = received;
  expect(first?.headers).toMatchObject({
    'content-type': 'application/json',
    'webhook-id': first?.event.seq,
  });
});

// The first worker of a deployment changes instances as soon as its webhooks are started.
test('no event is missed after the webhooks are started', async () => {
  const { received, url } = await receiver(() => 204);
  const { life, start } = await open([{ name: 'first', url, ...all }], 'fresh');
  await start().started;
  await life();
  await waitFor('all deliveries', () => received.length === 5);
  expect(received.map(({ event }) => event.type).sort()).toEqual(LIFE);
});

test('a webhook receives only the events of its filters', async () => {
  const { received, url } = await receiver(() => 200);
  const webhook = { name: 'ends', url, events: ['gone'] as const, templates: ['b'] };
  const { life, start, queue } = await open([webhook]);
  start();
  await life('a');
  const id = await life('b');
  await waitFor('the delivery', async () => (await queue.getCompletedCount()) === 1);
  expect(received.map(({ event }) => [event.id, event.type, event.reason])).toEqual([
    [id, 'gone', 'request'],
  ]);
});

// A receiver is down, then redirects, then closes the connection. Each retry has a new signature.
test('a failed delivery is retried, and a redirect is not followed', async () => {
  const answers = [500, 302, undefined, 200];
  const { received, url } = await receiver((_, nth) => answers[nth - 1]);
  const { life, start, queue } = await open([{ name: 'down', url, ...all, events: ['gone'] }]);
  start();
  await life();
  for (let i = 1; i <= 3; i++) {
    // Promote the job, so that the test does not wait for the backoff.
    const job = await waitFor('a failed attempt', async () => {
      const [delayed] = await queue.getDelayed();
      return delayed?.attemptsMade === i && delayed;
    });
    const least = 5_000 * 2 ** (i - 1) * 0.75 - 100;
    expect(job.delay).toBeGreaterThanOrEqual(least);
    await job.promote();
  }
  await waitFor('the delivery', async () => (await queue.getCompletedCount()) === 1);
  expect(received).toHaveLength(4);
  expect(new Set(received.map(({ event }) => event.seq)).size).toBe(1);
  expect(received.every((item) => isGenuine(item, SECRET))).toBe(true);
});

test('the last attempt is about one day after the first', () => {
  const { attempts = 0 } = WEBHOOK_OPTIONS;
  let total = 0;
  for (let i = 0; i < attempts - 1; i++) total += 5_000 * 2 ** i;
  expect(total / 3_600_000).toBeGreaterThan(20);
  expect(total / 3_600_000).toBeLessThan(24);
});

// A worker reads events and dies before it queues the deliveries.
test('events that a dead worker has read are delivered', async () => {
  const { received, url } = await receiver(() => 200);
  const site = await open([{ name: 'all', url, ...all }]);
  const id = await site.life();
  expect(await site.dead.take(1_000)).toHaveLength(5);
  const { events } = site.keys;
  const pending = await site.redis.xpending(events, 'webhooks', '-', '+', 10, 'dead');
  for (const [seq] of pending as [string][]) {
    await site.redis.xclaim(events, 'webhooks', 'dead', 0, seq, 'IDLE', 60_000);
  }
  site.start();
  await waitFor('the deliveries', () => received.length === 5);
  expect(received.map(({ event }) => event.type).sort()).toEqual(LIFE);
  expect(received.every(({ event }) => event.id === id)).toBe(true);
});

// Each process is a separate reader. Readers of dead processes would accumulate.
test('dead readers are removed, unless they have unprocessed events', async () => {
  const { redis, keys } = await open([]);
  const readers = async () => {
    const found = (await redis.xinfo('CONSUMERS', keys.events, 'webhooks')) as string[][];
    return found.map(([, name]) => name).sort();
  };
  const reader = (name: string) =>
    redisEventGroup({ redis, blocking: redis }, keys, 'webhooks', name);
  const reads = async (name: string) => {
    await redis.xadd(keys.events, '*', 'type', 'ready');
    const taken = await reader(name).take(1_000);
    expect(taken).toHaveLength(1);
    return taken;
  };
  await reads('dead');
  for (const name of ['idle', 'lives', 'asks']) await reader(name).done(await reads(name));
  expect(await readers()).toEqual(['asks', 'dead', 'idle', 'lives']);
  const idleSince = performance.now();
  await waitFor('some time', () => performance.now() - idleSince > 2_000);
  await reader('lives').done(await reads('lives'));
  await reader('asks').forgetIdle(1_500);
  expect(await readers()).toEqual(['asks', 'dead', 'lives']);
});

test('neither the secret nor the URL is in Redis or in the log', async () => {
  const { url } = await receiver((_, nth) => (nth === 1 ? 500 : 200));
  const { life, start, queue, redis, keys, log } = await open([{ name: 'quiet', url, ...all }]);
  const { stop } = start();
  await life();
  await waitFor('the rest', async () => (await queue.getCompletedCount()) === 4);
  await stop();
  const dumped: string[] = [];
  for (const key of await redis.keys(`${keys.queuePrefix}:*`)) {
    dumped.push((await redis.dumpBuffer(key)).toString('latin1'));
  }
  for (const text of [...dumped, ...log]) {
    expect(text).not.toContain(SECRET);
    expect(text).not.toContain('hidden-in-url');
  }
  expect(log.some((line) => line.includes('"webhook":"quiet"'))).toBe(true);
});

test('webhooks are added, changed and removed while the worker runs', async () => {
  const [one, two] = await Promise.all([receiver(() => 204), receiver(() => 204)]);
  const { life, keep, queue } = await open([]);
  const configure = await keep();
  await configure({ name: 'one', url: one.url, ...all, secret: SECRET });
  await life();
  await waitFor('the first deliveries', () => one.received.length === 5);
  expect(one.received.every((item) => isGenuine(item, SECRET))).toBe(true);

  const rotated = 'another secret of the receiver';
  await configure(
    { name: 'one', url: one.url, ...all, secret: rotated },
    { name: 'two', url: two.url, ...all, secret: SECRET },
  );
  await life();
  await waitFor('both deliveries', () => one.received.length + two.received.length === 15);
  expect(one.received.slice(5).every((item) => isGenuine(item, rotated))).toBe(true);
  expect(two.received.every((item) => isGenuine(item, SECRET))).toBe(true);

  await configure({ name: 'two', url: two.url, ...all, secret: SECRET });
  await life();
  await waitFor('the deliveries of the second', () => two.received.length === 10);
  expect(one.received).toHaveLength(10);

  // Without webhooks it leaves the events to other workers.
  await configure();
  await life();
  expect(await queue.getWaitingCount()).toBe(0);
  await configure({ name: 'one', url: one.url, ...all, secret: SECRET });
  await waitFor('the events that no worker had taken', () => one.received.length === 15);
});
