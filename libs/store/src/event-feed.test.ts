import { getEventListeners } from 'node:events';
import { ApiError } from '@ephemera/domain';
import type { InstanceEvent } from '@ephemera/domain';
import { sampleDraft, sampleTemplate, waitFor } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openRedis } from '../test/open-redis.ts';
import { connectRedis } from './connect-redis.ts';
import { EventFeed } from './event-feed.ts';
import { FIRST, readEvents, emitExpiringEvents, recordUse } from './event-log.ts';
import { keysOf } from './keys.ts';
import { redisInstances } from './redis-instances.ts';
import { redisLeases, redisSuspensions } from './redis-leases.ts';

let stores = 0;
const { server } = await openRedis();

function open(remembered?: number) {
  const keys = keysOf(`events-${++stores}`);
  const redis = new Redis(server.url);
  const blocking = connectRedis(server.url, 'watch', () => undefined);
  const errors: unknown[] = [];
  const onError = (error: unknown) => void errors.push(error);
  const feed = new EventFeed({ redis, blocking, keys, onError, ...(remembered && { remembered }) });
  onTestFinished(async () => {
    await feed.stop();
    redis.disconnect();
  });
  const instances = redisInstances(redis, keys);
  const ready = async (template = sampleTemplate()) => {
    const draft = sampleDraft({ template, metadata: { owner: 'ada' } });
    const { id, generation } = await instances.create(draft);
    await instances.assignToHost(id, generation, 'a');
    await instances.markReady(id, generation, '10.0.0.9');
    return { id, generation };
  };
  const kill = async (id: string) => {
    const outcome = await instances.startDraining(id, 'request');
    if (outcome.kind === 'draining') await instances.finalize(id, outcome.instance.generation);
  };
  const all = async () => (await readEvents(redis, keys, FIRST, 1000)).events;
  return {
    keys,
    redis,
    blocking,
    errors,
    feed,
    instances,
    leases: redisLeases(redis, keys),
    ready,
    kill,
    all,
  };
}

const types = (events: readonly InstanceEvent[]) => events.map(({ type }) => type);

test('a command is recorded only for a ready instance of the same generation', async () => {
  const { redis, keys, instances, ready, kill, all } = open();
  const instance = await ready();
  const { id, generation } = instance;
  const before = (await instances.get(id))?.activeAt ?? 0;
  expect(await recordUse(redis, keys, instance, 'exec')).toBe(true);
  expect((await all()).at(-1)).toMatchObject({ type: 'exec', id, generation, state: 'ready' });
  expect((await instances.get(id))?.activeAt).toBeGreaterThanOrEqual(before);
  expect(await recordUse(redis, keys, instance, 'files')).toBe(true);
  expect((await all()).at(-1)).toMatchObject({ type: 'files', id, generation });
  const count = (await all()).length;
  expect(await recordUse(redis, keys, { id, generation: generation - 1 }, 'exec')).toBe(false);
  expect(await recordUse(redis, keys, { id: 'unknown', generation }, 'exec')).toBe(false);
  expect(await all()).toHaveLength(count);
  // Its deadline has passed, and no worker has ended it yet.
  await redis.hset(keys.instance(id), 'expiresAt', 1);
  expect(await recordUse(redis, keys, instance, 'exec')).toBe(false);
  const paused = await ready();
  await redisSuspensions(redis, keys).pause(paused.id);
  expect(await recordUse(redis, keys, paused, 'exec')).toBe(false);
  const ended = await ready();
  await kill(ended.id);
  expect(await recordUse(redis, keys, ended, 'exec')).toBe(false);
});

describe('the stream', () => {
  test('contains every event of an instance in order, with its state at that moment', async () => {
    const { ready, kill, leases, all } = open();
    const { id, generation } = await ready();
    await leases.renew(id, { timeout: 90_000, shorten: false });
    await kill(id);
    const reported = await all();
    expect(types(reported)).toEqual([
      'pending',
      'starting',
      'ready',
      'renewed',
      'draining',
      'gone',
    ]);
    for (const event of reported) {
      expect(event).toMatchObject({ id, template: 'demo', metadata: { owner: 'ada' } });
      expect(Math.abs(event.time - Date.now())).toBeLessThan(60_000);
    }
    expect(reported[3]).toMatchObject({ state: 'ready', generation, reason: undefined });
    expect((reported[3]?.expiresAt ?? 0) - (reported[2]?.expiresAt ?? 0)).toBeGreaterThan(29_000);
    expect(reported[5]).toMatchObject({ state: 'gone', reason: 'request' });
    expect(reported[5]?.generation).toBeGreaterThan(generation);
  });

  // Workers and proxies repeat steps after crashes. A repeated step is not a change.
  test('contains no duplicate event when every step runs twice', async () => {
    const { instances, all } = open();
    const { id, generation } = await instances.create(sampleDraft());
    for (let i = 0; i < 2; i++) await instances.assignToHost(id, generation, 'a');
    for (let i = 0; i < 2; i++) await instances.markReady(id, generation, '10.0.0.9');
    for (let i = 0; i < 2; i++) await instances.startDraining(id, 'exited', 'code 1');
    const ended = (await instances.get(id))?.generation ?? 0;
    for (let i = 0; i < 2; i++) await instances.finalize(id, ended);
    expect(types(await all())).toEqual(['pending', 'starting', 'ready', 'draining', 'gone']);
  });
});

describe('the expiring event', () => {
  test('is emitted once by several workers, and again for a new deadline', async () => {
    const { ready, redis, keys, leases, all, instances } = open();
    const { id } = await ready(sampleTemplate({ notice: 20_000 }));
    const { expiresAt } = (await instances.get(id)) ?? { expiresAt: 0 };
    expect(await redis.zscore(keys.expiring, id)).toBe(String(expiresAt - 20_000));
    expect(await emitExpiringEvents(redis, keys, await instances.now())).toBe(0);

    const nears = async () => {
      await redis.zadd(keys.expiring, 1, id);
      const now = await instances.now();
      const rounds = Array.from({ length: 5 }, () => emitExpiringEvents(redis, keys, now));
      return (await Promise.all(rounds)).reduce((sum, reported) => sum + reported);
    };
    expect(await nears()).toBe(1);
    // A renewal that leaves the deadline unchanged emits no further `expiring` event.
    await leases.renew(id, { expiresAt, shorten: false });
    expect(await redis.zscore(keys.expiring, id)).toBeNull();
    await leases.renew(id, { timeout: 120_000, shorten: false });
    expect(Number(await redis.zscore(keys.expiring, id))).toBeGreaterThan(expiresAt);
    expect(await nears()).toBe(1);
    expect(types(await all()).filter((type) => type === 'expiring')).toHaveLength(2);
  });

  test('is not emitted for an ended instance', async () => {
    const { ready, kill, redis, keys } = open();
    const { id } = await ready();
    await kill(id);
    expect(await redis.zcard(keys.expiring)).toBe(0);
  });
});

describe('a feed', () => {
  test('returns the events after a position, from memory and from Redis', async () => {
    const { feed, ready, kill, all } = open(3);
    feed.start();
    const start = await feed.now();
    const waiting = feed.next(start, 20_000);
    const { id } = await ready();
    expect(types((await waiting).events)[0]).toBe('pending');
    await kill(id);
    const reported = await all();
    for (const [index, { seq }] of reported.entries()) {
      const rest = reported.slice(index + 1);
      const read: InstanceEvent[] = [];
      for (let place = seq; read.length < rest.length; place = read.at(-1)?.seq ?? place) {
        read.push(...(await feed.next(place, 20_000)).events);
      }
      expect(read).toEqual(rest);
    }
  });

  test('returns no events after the timeout or an abort', async () => {
    const { feed } = open();
    feed.start();
    expect(await feed.next(FIRST, 10)).toEqual({ events: [], gap: false });
    const gone = new AbortController();
    const waiting = feed.next(FIRST, 60_000, gone.signal);
    gone.abort();
    expect(await waiting).toEqual({ events: [], gap: false });
  });

  test('reports a gap where events are no longer stored', async () => {
    const { feed, ready, redis, keys, all } = open();
    await ready();
    const [first] = await all();
    await redis.xtrim(keys.events, 'MAXLEN', 1);
    feed.start();
    const span = await feed.next(first?.seq ?? '', 1_000);
    expect(span).toMatchObject({ gap: true, events: [{ type: 'ready' }] });
    // A position from another Redis, or from before a loss of all data.
    expect(await feed.next('99999999999999-0', 10)).toEqual({ events: [], gap: true });
  });

  test('loses no event while its connection is interrupted', async () => {
    const { feed, ready, redis, blocking } = open();
    feed.start();
    const start = await feed.now();
    for (let round = 0; round < 3; round++) {
      const connection = await waitFor('its connection', () => idOf(redis, blocking));
      await redis.client('KILL', 'ID', connection);
      await ready();
    }
    const read: InstanceEvent[] = [];
    await waitFor('all events', async () => {
      read.push(...(await feed.next(read.at(-1)?.seq ?? start, 100)).events);
      return read.length >= 9;
    });
    expect(types(read)).toEqual(Array(3).fill(['pending', 'starting', 'ready']).flat());
  });

  test('reports what ends the reading, and goes on', async () => {
    const { feed, ready, redis, keys, errors } = open();
    await redis.set(keys.events, 'no stream');
    feed.start();
    await waitFor('the error', () => errors.length > 0);
    expect(String(errors[0])).toContain('WRONGTYPE');
    await redis.del(keys.events);
    await ready();
    expect(types((await feed.next(FIRST, 10_000)).events)).toContain('pending');
  });

  test('reports that Redis is unavailable', async () => {
    const { feed, redis, errors } = open();
    redis.disconnect();
    await expect(feed.now()).rejects.toThrow(ApiError);
    await expect(feed.next(FIRST, 10)).rejects.toThrow('store_unavailable');
    expect(errors).toEqual([]);
  });
});

/** Returns the client id of another connection, found by its local port. */
async function idOf(redis: Redis, other: Redis): Promise<number | undefined> {
  const { localPort } = other.stream as { localPort?: number };
  const line = String(await redis.client('LIST'))
    .split('\n')
    .find((text) => text.includes(`:${String(localPort)} `));
  const id = /id=(\d+)/.exec(line ?? '')?.[1];
  return id === undefined ? undefined : Number(id);
}

test('repeated waits leave no listener on the client’s signal', async () => {
  const { feed, ready } = open();
  await ready();
  const { signal } = new AbortController();
  for (let i = 0; i < 20; i++) await feed.next(FIRST, 10, signal);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});
