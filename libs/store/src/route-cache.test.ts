import type { ApiError, ReadyRoute, Route } from '@ephemera/domain';
import {
  freePort,
  SETTLED_DATASET,
  type StartedRedis,
  startRedis,
  waitFor,
} from '@ephemera/test-support';
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectRedis, connectTracking } from './connect-redis.ts';
import { keysOf } from './keys.ts';
import { RouteCache, type RouteCacheOptions } from './route-cache.ts';

const ID = 'abcdefghijklmnopqrstuvwxyz';
const OTHER = 'zbcdefghijklmnopqrstuvwxyz';
const keys = keysOf('test');

let started: StartedRedis;
/** The connection that changes routes; to the cache, this is another process. */
let writer: Redis;
const cleanups: (() => unknown)[] = [];

beforeEach(async () => {
  started = await startRedis();
  writer = connectRedis(started.url, 'job', () => undefined);
  await writer.set(keys.dataset, SETTLED_DATASET);
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  writer.disconnect();
  await started.stop();
});

interface Watched {
  readonly cache: RouteCache;
  readonly redis: Redis;
  readonly tracking: Redis;
  readonly drops: string[];
  /** Commands that the cache has sent over its connection for reads. */
  reads(): number;
}

async function startCache(options: Partial<RouteCacheOptions> = {}): Promise<Watched> {
  const redis = connectRedis(started.url, 'request', () => undefined);
  await waitFor('a connection', () => redis.status === 'ready');
  let reads = 0;
  const { pipeline } = redis;
  redis.pipeline = (...args: Parameters<typeof pipeline>) => {
    reads++;
    return pipeline.apply(redis, args);
  };
  const tracking = connectTracking(started.url, () => undefined);
  const cache = new RouteCache({ redis, trackingRedis: () => tracking, keys, ...options });
  const drops: string[] = [];
  cache.onDrop((id, generation) => drops.push(`${id}:${generation}`));
  await cache.start();
  cleanups.push(async () => {
    await cache.stop();
    redis.disconnect();
  });
  return { cache, redis, tracking, drops, reads: () => reads };
}

const ready = (generation: number, more: Partial<ReadyRoute> = {}): ReadyRoute => ({
  state: 'ready',
  generation,
  address: '127.0.1.1',
  port: 8080,
  ports: { main: 8080 },
  expiresAt: Date.now() + 3_600_000,
  stripPrefix: true,
  host: 'h1',
  hostHeader: 'pass',
  ...more,
});
const put = (id: string, route: Route) => writer.set(keys.route(id), JSON.stringify(route));
const generationOf = (cache: RouteCache, id = ID) => cache.peek(id)?.route.generation;
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
/** Closes the invalidation connection on the Redis side, like a network failure. */
const cutTracking = () => writer.call('CLIENT', 'KILL', 'TYPE', 'pubsub');

describe('a route in memory', () => {
  test('is read once, and then served from memory', async () => {
    const { cache, reads } = await startCache();
    await put(ID, ready(1));
    expect(cache.peek(ID)).toBeUndefined();
    const found = await Promise.all([cache.find(ID), cache.find(ID), cache.find(ID)]);
    expect(found.map((route) => route?.route.generation)).toEqual([1, 1, 1]);
    expect(generationOf(cache)).toBe(1);
    await cache.find(ID);
    expect(reads()).toBe(1);
  });

  test('is reported as not followed if Redis refuses the subscription', async () => {
    const rights = ['~*', '&*', '+@all', '-client|tracking'];
    await writer.call('ACL', 'SETUSER', 'plain', 'on', '>secret', ...rights);
    const url = started.url.replace('redis://', 'redis://plain:secret@');
    const errors: unknown[] = [];
    await startCache({
      trackingRedis: () => connectTracking(url, () => undefined),
      onError: (error) => errors.push(error),
    });
    await waitFor('the error', () => errors.length > 0);
    expect(String(errors[0])).toContain('NOPERM');
  });

  test('is undefined for an unknown id, and the absence is not cached', async () => {
    const { cache } = await startCache();
    expect(await cache.find(ID)).toBeUndefined();
    expect(cache.size).toBe(0);
    await put(ID, ready(1));
    expect((await cache.find(ID))?.route.generation).toBe(1);
  });

  test('is dropped as soon as any client changes it', async () => {
    const { cache } = await startCache();
    await put(ID, ready(1));
    await cache.find(ID);
    await put(ID, ready(2));
    await waitFor('the change', () => generationOf(cache) !== 1);
    expect((await cache.find(ID))?.route.generation).toBe(2);
    await writer.del(keys.route(ID));
    await waitFor('the end', () => cache.peek(ID) === undefined);
    expect(await cache.find(ID)).toBeUndefined();
  });

  test('is dropped when its key expires, and by FLUSHALL', async () => {
    const { cache } = await startCache();
    await put(ID, ready(1));
    await cache.find(ID);
    await writer.pexpire(keys.route(ID), 50);
    await waitFor('the expiry', () => cache.peek(ID) === undefined);
    await put(ID, ready(2));
    await cache.find(ID);
    await writer.flushall();
    await waitFor('the flush', () => cache.peek(ID) === undefined);
  });

  test('is not reported as replaced while Redis is slow to return the new one', async () => {
    const { cache, drops } = await startCache();
    await put(ID, ready(1));
    await cache.find(ID);
    // The renewal is pushed, but the new route cannot be read for a while.
    await writer
      .pipeline()
      .set(keys.route(ID), JSON.stringify(ready(1)))
      .call('CLIENT', 'PAUSE', '400', 'ALL')
      .exec();
    await waitFor('an answer', async () => (await cache.find(ID)) !== undefined);
    expect(drops).toEqual([]);
    await put(ID, ready(2));
    await waitFor('the end to be told', () => drops.length > 0);
    // The retry after the renewal finds the second generation too, within this time.
    await sleep(600);
    expect(drops).toEqual([`${ID}:1`]);
  });

  test('is not affected by a change of another route', async () => {
    const { cache, reads } = await startCache();
    await put(ID, ready(1));
    await cache.find(ID);
    await put(OTHER, ready(2));
    await waitFor('the other', async () => (await cache.find(OTHER)) !== undefined);
    expect(generationOf(cache)).toBe(1);
    expect(reads()).toBe(2);
  });

  test('is not used past its deadline', async () => {
    const { cache } = await startCache();
    await put(ID, ready(1, { expiresAt: Date.now() + 200 }));
    const found = await cache.find(ID);
    expect(found?.deadline).toBeLessThanOrEqual(performance.now() + 200);
    await sleep(250);
    expect(cache.peek(ID)).toBeUndefined();
    // `find` still returns it, with its past deadline.
    expect((await cache.find(ID))?.deadline).toBeLessThan(performance.now());
  });

  test('has a deadline by Redis’ clock, because the local clock may be wrong', async () => {
    const { cache } = await startCache();
    const [seconds] = await writer.time();
    await put(ID, ready(1, { expiresAt: Number(seconds) * 1000 + 60_000 }));
    const deadline = (await cache.find(ID))?.deadline ?? 0;
    expect(deadline - performance.now()).toBeGreaterThan(57_000);
    expect(deadline - performance.now()).toBeLessThanOrEqual(60_000);
  });

  test('is evicted above the capacity, and its listeners are notified', async () => {
    const { cache, drops } = await startCache({ capacity: 2 });
    const ids = ['a', 'b', 'c'].map((letter) => letter + ID.slice(1));
    for (const [index, id] of ids.entries()) {
      await put(id, ready(index + 1));
      await cache.find(id);
    }
    expect(cache.size).toBe(2);
    expect(drops).toEqual([`${ids[0] ?? ''}:1`]);
  });
});

describe('the lease', () => {
  test('ends without an invalidation, because a dead connection may go unnoticed', async () => {
    const { cache, tracking } = await startCache({ lease: 300 });
    await put(ID, ready(1));
    // A connection that delivers nothing any more and that neither side closes.
    tracking.removeAllListeners('messageBuffer');
    tracking.ping = () => new Promise<never>(() => undefined);
    await cache.find(ID);
    await put(ID, ready(2));
    expect(generationOf(cache)).toBe(1);
    await sleep(320);
    expect(cache.peek(ID)).toBeUndefined();
    expect((await cache.find(ID))?.route.generation).toBe(2);
  });

  test('counts from when the read was sent, not from its answer', async () => {
    let skew = 0;
    const { cache, redis } = await startCache({
      lease: 1_000,
      clock: () => performance.now() + skew,
    });
    await put(ID, ready(1));
    const { pipeline } = redis;
    redis.pipeline = (...args: Parameters<typeof pipeline>) => {
      // This process stalls for 2 s while its read is in flight.
      queueMicrotask(() => (skew += 2_000));
      return pipeline.apply(redis, args);
    };
    const found = await cache.find(ID);
    expect(found?.validUntil).toBeLessThan(performance.now() + skew);
    expect(cache.peek(ID)).toBeUndefined();
  });

  test('is extended without a read while the invalidation connection answers', async () => {
    const { cache, reads } = await startCache({ lease: 1_500 });
    await put(ID, ready(1));
    await cache.find(ID);
    for (let i = 0; i < 8; i++) {
      await sleep(400);
      expect(generationOf(cache)).toBe(1);
    }
    expect(reads()).toBe(1);
  });
});

describe('a read that a change invalidates', () => {
  test('is repeated, because its answer may be outdated', async () => {
    const { cache, redis } = await startCache();
    await put(ID, ready(1));
    const { pipeline } = redis;
    let held = 0;
    redis.pipeline = (...args: Parameters<typeof pipeline>) => {
      const commands = pipeline.apply(redis, args);
      const { exec } = commands;
      commands.exec = async () => {
        const answer = await exec.call(commands);
        if (held++ === 0) {
          // The route changes while the answer is in flight. The push arrives first.
          await put(ID, ready(2));
          await sleep(50);
        }
        return answer;
      };
      return commands;
    };
    expect((await cache.find(ID))?.route.generation).toBe(2);
    expect(generationOf(cache)).toBe(2);
    expect(held).toBe(2);
  });
});

describe('a lost invalidation connection', () => {
  test('makes all routes stale until it is back', async () => {
    const { cache, reads } = await startCache();
    await put(ID, ready(1));
    await cache.find(ID);
    await cutTracking();
    await waitFor('the loss', () => !cache.connected);
    expect(cache.peek(ID)).toBeUndefined();
    await waitFor('the connection', () => cache.connected);
    await waitFor('the route', () => generationOf(cache) === 1);
    expect(reads()).toBeGreaterThan(1);
  });

  test('hides no change: generations that ended meanwhile are reported later', async () => {
    const { cache, drops, tracking } = await startCache();
    await put(ID, ready(1));
    await put(OTHER, ready(2));
    await Promise.all([cache.find(ID), cache.find(OTHER)]);
    tracking.disconnect();
    await waitFor('the loss', () => !cache.connected);
    await put(ID, ready(3));
    await sleep(50);
    expect(drops).toEqual([]);
    await tracking.connect();
    await waitFor('the news', () => drops.length > 0);
    await waitFor('both', () => generationOf(cache) === 3 && generationOf(cache, OTHER) === 2);
    expect(drops).toEqual([`${ID}:1`]);
  });

  test('sends each read to Redis, and caches none as fresh', async () => {
    const { cache, tracking } = await startCache();
    await put(ID, ready(1));
    tracking.disconnect();
    await waitFor('the loss', () => !cache.connected);
    expect((await cache.find(ID))?.route.generation).toBe(1);
    expect(cache.peek(ID)).toBeUndefined();
    await put(ID, ready(2));
    expect((await cache.find(ID))?.route.generation).toBe(2);
  });

  test('is restored automatically, repeatedly', async () => {
    const { cache } = await startCache();
    await put(ID, ready(1));
    for (let i = 2; i < 6; i++) {
      await cutTracking();
      await waitFor('the connection', () => cache.connected);
      await cache.find(ID);
      await put(ID, ready(i));
      await waitFor('the change', async () => (await cache.find(ID))?.route.generation === i);
    }
  });
});

describe('drop listeners', () => {
  test('are called for a new generation, an end and a removal, but not for a renewal', async () => {
    const { cache, drops } = await startCache();
    await put(ID, ready(1));
    await cache.find(ID);
    const before = cache.peek(ID)?.deadline ?? 0;
    await put(ID, ready(1, { expiresAt: Date.now() + 7_200_000 }));
    await waitFor('the renewal', () => (cache.peek(ID)?.deadline ?? 0) > before + 1_000_000);
    expect(drops).toEqual([]);
    await put(ID, ready(2));
    await waitFor('the new one', () => drops.length === 1);
    await put(ID, { state: 'draining', generation: 3, reason: 'request' });
    await waitFor('the end', () => drops.length === 2);
    await put(ID, ready(4));
    await cache.find(ID);
    await writer.del(keys.route(ID));
    await waitFor('the removal', () => drops.length === 3);
    expect(drops).toEqual([`${ID}:1`, `${ID}:2`, `${ID}:4`]);
  });
});

describe('waiting', () => {
  test('ends with the change, without polling', async () => {
    const { cache, reads } = await startCache();
    await put(ID, { state: 'starting', generation: 1 });
    const waiting = cache.waitFor(ID, (route) => route?.route.state === 'ready', 10_000);
    await sleep(300);
    const before = performance.now();
    await put(ID, ready(1));
    expect((await waiting)?.route.state).toBe('ready');
    expect(performance.now() - before).toBeLessThan(500);
    expect(reads()).toBeLessThanOrEqual(3);
  });

  test('ends at the timeout, and when its signal aborts', async () => {
    const { cache } = await startCache();
    await put(ID, { state: 'starting', generation: 1 });
    expect((await cache.waitFor(ID, () => false, 100))?.route.state).toBe('starting');
    const gone = new AbortController();
    const waiting = cache.waitFor(ID, () => false, 60_000, gone.signal);
    gone.abort();
    expect((await waiting)?.route.state).toBe('starting');
  });

  test('ends when the route is removed', async () => {
    const { cache } = await startCache();
    await put(ID, { state: 'starting', generation: 1 });
    const waiting = cache.waitFor(ID, (route) => route === undefined, 10_000);
    await writer.del(keys.route(ID));
    expect(await waiting).toBeUndefined();
  });
});

describe('an unavailable Redis', () => {
  /** How long a call takes, ms, with its result or the kind of its error. */
  async function timed(call: Promise<unknown>) {
    const before = performance.now();
    const outcome = await call.catch((error: unknown) => (error as ApiError).failure.kind);
    return { took: performance.now() - before, outcome };
  }

  /** A frozen server accepts connections and answers nothing; a dead one refuses them. */
  const freeze = () => process.kill(started.pid, 'SIGSTOP');
  const thaw = () => process.kill(started.pid, 'SIGCONT');

  test.each(['frozen', 'dead'] as const)(
    '%s: known routes serve for the grace period, unknown ones fail within 250 ms',
    async (how) => {
      const port = await freePort();
      await started.stop();
      started = await startRedis({ port });
      writer.disconnect();
      writer = connectRedis(started.url, 'job', () => undefined);
      const { cache } = await startCache({ lease: 500, grace: 4_000 });
      await put(ID, ready(1));
      await cache.find(ID);
      if (how === 'frozen') freeze();
      else await started.stop();
      await waitFor('the loss', () => !cache.connected);
      await sleep(600);
      for (let i = 0; i < 5; i++) {
        const unknown = await timed(cache.find(OTHER));
        expect(unknown.outcome).toBe('store_unavailable');
        expect(unknown.took).toBeLessThan(250);
        const known = await timed(cache.find(ID));
        expect(known.outcome).toMatchObject({ route: { generation: 1 } });
        expect(known.took).toBeLessThan(250);
      }
      await waitFor('the end of the grace', async () => {
        return (await timed(cache.find(ID))).outcome === 'store_unavailable';
      });
      const back = performance.now();
      if (how === 'frozen') thaw();
      else started = await startRedis({ port });
      await put(ID, ready(2));
      await waitFor('the recovery', async () => {
        const { outcome } = await timed(cache.find(ID));
        return (outcome as { route?: Route }).route?.generation === 2 && cache.connected;
      });
      expect(performance.now() - back).toBeLessThan(3_000);
    },
  );

  test('a confirmation waits for a slow Redis', async () => {
    // Meanwhile an instance may have ended and its address may belong to another one. Only a Redis
    // that is unavailable to everybody prevents that.
    const { cache } = await startCache();
    await put(ID, ready(1));
    const known = await cache.find(ID);
    process.kill(started.pid, 'SIGSTOP');
    const confirmed = cache.confirm(ID);
    await sleep(600);
    process.kill(started.pid, 'SIGCONT');
    const answer = await confirmed;
    expect(answer?.route.generation).toBe(1);
    expect(answer).not.toBe(known);
  });

  /** Blocks the event loop, like a process that gets no CPU time. */
  const standStill = (ms: number) =>
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

  test('a stalled process uses the answer that arrived meanwhile', async () => {
    const { cache } = await startCache();
    await put(ID, ready(1));
    const found = cache.find(ID);
    standStill(500);
    expect(await found).toMatchObject({ route: { generation: 1 } });
  });

  test('a stalled process does not wait for another answer', async () => {
    const { cache } = await startCache();
    freeze();
    const unknown = timed(cache.find(OTHER));
    standStill(500);
    expect(await unknown).toMatchObject({ outcome: 'store_unavailable' });
    expect((await unknown).took).toBeLessThan(650);
    thaw();
  });

  // Under load, a read sometimes takes longer than its timeout. If the replica then refused other
  // requests or became unready, a short load peak would become an outage.
  test('the next read is sent as soon as a slow Redis has answered', async () => {
    const { cache } = await startCache();
    await put(ID, ready(1));
    process.kill(started.pid, 'SIGSTOP');
    await expect(cache.find(ID)).rejects.toMatchObject({ failure: { kind: 'store_unavailable' } });
    expect(cache.connected).toBe(true);
    process.kill(started.pid, 'SIGCONT');
    await writer.ping();
    await writer.ping();
    expect(await cache.find(ID)).toMatchObject({ route: { generation: 1 } });
  });

  test('a silent Redis counts as unavailable, and known routes are confirmed from memory', async () => {
    const { cache } = await startCache();
    await put(ID, ready(1));
    await cache.find(ID);
    process.kill(started.pid, 'SIGSTOP');
    expect((await cache.confirm(ID))?.route.generation).toBe(1);
    process.kill(started.pid, 'SIGCONT');
  });

  test('the grace period never extends past the deadline', async () => {
    const { cache } = await startCache({ lease: 100, grace: 60_000 });
    await put(ID, ready(1, { expiresAt: Date.now() + 400 }));
    await cache.find(ID);
    freeze();
    await sleep(500);
    const found = await cache.find(ID);
    expect(found?.deadline).toBeLessThan(performance.now());
    thaw();
  });

  test('a restart without data drops all routes', async () => {
    const port = await freePort();
    await started.stop();
    started = await startRedis({ port });
    writer.disconnect();
    writer = connectRedis(started.url, 'job', () => undefined);
    const { cache, drops } = await startCache();
    await put(ID, ready(1));
    await cache.find(ID);
    await started.stop();
    started = await startRedis({ port });
    await waitFor('the news', () => drops.length === 1);
    expect(await cache.find(ID)).toBeUndefined();
  });
});

test('many routes are read again in batches after a lost connection', async () => {
  const { cache, reads } = await startCache();
  const ids = Array.from({ length: 1_200 }, (_, i) => `x${String(i).padStart(25, '0')}`);
  await writer.mset(ids.flatMap((id, i) => [keys.route(id), JSON.stringify(ready(i + 1))]));
  // In batches, because on a busy machine one large burst exceeds the read timeout.
  for (let i = 0; i < ids.length; i += 50) {
    const lot = ids.slice(i, i + 50);
    await waitFor('a lot of routes', () => Promise.all(lot.map((id) => cache.find(id))));
  }
  const before = reads();
  await cutTracking();
  await waitFor('all of them', () => ids.every((id) => cache.peek(id) !== undefined));
  expect(reads() - before).toBeLessThanOrEqual(4);
});

test('a name is read once, kept in memory, and read again when it has moved', async () => {
  const { cache, reads } = await startCache();
  const move = (id: string, generation: number) =>
    writer.set(keys.route('@pr-1'), JSON.stringify({ state: 'name', id, generation }));
  await move(ID, 1);
  const before = reads();
  expect(cache.peekName('pr-1')).toBeUndefined();
  expect(await cache.findName('pr-1')).toMatchObject({ id: ID });
  for (let i = 0; i < 10; i++) {
    expect(cache.peekName('pr-1')?.id).toBe(ID);
    expect((await cache.findName('pr-1'))?.id).toBe(ID);
  }
  expect(reads() - before).toBe(1);
  await move(OTHER, 2);
  await waitFor('the push', () => cache.peekName('pr-1') === undefined);
  expect((await cache.findName('pr-1'))?.id).toBe(OTHER);
  expect(await cache.findName('pr-2')).toBeUndefined();
});
