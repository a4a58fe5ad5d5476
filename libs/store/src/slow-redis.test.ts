import type { Route } from '@ephemera/domain';
import { startRedis, waitFor } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';
import { connectRedis, connectTracking } from './connect-redis.ts';
import { keysOf } from './keys.ts';
import { RouteCache } from './route-cache.ts';

// Routes change, and Redis is slow to return their new values.

const MANY = 300;
const IDS = Array.from({ length: MANY }, (_, i) => `a${String(i).padStart(25, 'b')}`);
const keys = keysOf('late');
const routes = IDS.flatMap((id) => {
  const route: Route = {
    state: 'ready',
    generation: 1,
    address: '127.0.1.1',
    port: 8080,
    ports: { main: 8080 },
    expiresAt: Date.now() + 3_600_000,
    stripPrefix: true,
    host: 'h1',
    hostHeader: 'pass',
  };
  return [keys.route(id), JSON.stringify(route)];
});

async function known(lease: number) {
  const started = await startRedis();
  const writer = connectRedis(started.url, 'job', () => undefined);
  const redis = connectRedis(started.url, 'request', () => undefined);
  await waitFor('a connection', () => redis.status === 'ready');
  const trackingRedis = () => connectTracking(started.url, () => undefined);
  const cache = new RouteCache({ redis, trackingRedis, keys, lease });
  onTestFinished(async () => {
    await cache.stop();
    redis.disconnect();
    writer.disconnect();
    await started.stop();
  });
  const drops: number[] = [];
  cache.onDrop(() => drops.push(performance.now()));
  await cache.start();
  await writer.mset(routes);
  await Promise.all(IDS.map((id) => cache.find(id)));
  const reads: number[] = [];
  const pipeline = redis.pipeline.bind(redis);
  redis.pipeline = (...args: Parameters<typeof pipeline>) => {
    reads.push(performance.now());
    return pipeline(...args);
  };
  return {
    cache,
    drops,
    reads,
    /**
     * Renews all routes at once. Redis pushes the changes, and then does not answer for a while.
     */
    async renew(silentFor: number) {
      await writer.pipeline().mset(routes).call('CLIENT', 'PAUSE', silentFor, 'ALL').exec();
      await waitFor('the news', () => reads.length >= MANY);
    },
  };
}

test('the retries of many routes are spread over time', async () => {
  const { cache, drops, reads, renew } = await known(5_000);
  await renew(2_000);
  await waitFor('all to be known again', () => cache.size === MANY);
  expect(drops).toEqual([]);
  const again = reads.slice(MANY);
  const timeoutMs = (start: number) => again.filter((at) => at >= start && at < start + 30).length;
  expect(Math.max(...again.map(timeoutMs))).toBeLessThan((2 * MANY) / 3);
});

test('connections to unknown generations stay open for at most one lease', async () => {
  const lease = 2_000;
  const { drops, reads, renew } = await known(lease);
  await renew(2 * lease);
  await waitFor('all to be told', () => drops.length === MANY);
  expect(Math.max(...drops) - (reads[0] ?? 0)).toBeLessThan(lease);
});
