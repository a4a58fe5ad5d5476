/** Fills the route cache with many routes and measures the memory per route. */
import { setTimeout as sleep } from 'node:timers/promises';
import { RouteCache, connectTracking, keysOf } from '@ephemera/store';
import { Redis } from 'ioredis';
import { makeInstances } from '../instances.ts';
import { publishRoutes, routeOf } from '../publish-routes.ts';
import type { RouteMemory } from '../route-memory.ts';

const [, , redisUrl = '', count = ''] = process.argv;
const NAMESPACE = 'bench-held-routes';
const BATCH = 500;

const redis = new Redis(redisUrl);
const fresh = () =>
  new RouteCache({
    redis,
    trackingRedis: () => connectTracking(redisUrl, () => undefined),
    keys: keysOf(NAMESPACE),
  });
const total = Number(count);

const usedBefore = await used();
const [first] = makeInstances(1, 8080);
if (first === undefined) throw new Error('no instance was created');
const ids = await publish();
const inRedis = ((await used()) - usedBefore) / total;

const routes = fresh();
await routes.start();
// Excludes the one-time cost of the first lookup from the measurement.
await take(ids[0] ?? '');
const heapBefore = heap();
for (let from = 1; from < total; from += BATCH) {
  await Promise.all(ids.slice(from, from + BATCH).map(take));
}
const taken = (heap() - heapBefore) / (total - 1);
if (routes.size !== total) throw new Error(`${routes.size} routes are cached, expected ${total}`);
const result: RouteMemory = { heap: taken, inRedis, valueLength: routeOf(first).length };
process.stdout.write(JSON.stringify(result));
await routes.stop();
redis.disconnect();

/** Retries because the cache fails a lookup when Redis is slow, for example on a busy machine. */
async function take(id: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      // Each request has its own copy of the id, which the cache then keeps.
      await routes.find(copyOf(id));
      return;
    } catch (error) {
      if (attempt === 10) throw error;
      await sleep(500);
    }
  }
}

async function publish(): Promise<string[]> {
  const instances = makeInstances(total, 8080);
  for (let from = 0; from < total; from += 250) {
    await publishRoutes(redis, NAMESPACE, instances.slice(from, from + 250));
  }
  return instances.map(({ id }) => copyOf(id));
}

/** Creates a flat string; V8 may otherwise keep a reference to the parts of a concatenation. */
function copyOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}

async function used(): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
}

function heap(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}
