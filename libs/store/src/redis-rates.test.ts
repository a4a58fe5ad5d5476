import { startRedis } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { connectRedis, isRedisUnavailable } from './connect-redis.ts';
import { keysOf } from './keys.ts';
import { redisRates } from './redis-rates.ts';

test('a rate counts across replicas, and rejects while Redis is unavailable', async () => {
  const server = await startRedis();
  const connections = [1, 2].map(() => connectRedis(server.url, 'request', () => undefined));
  await Promise.all(connections.map((redis) => new Promise((done) => redis.once('ready', done))));
  const [item, other] = connections.map((redis) => redisRates(redis, keysOf('rates')));
  if (!item || !other) throw new Error('two replicas');
  try {
    const rate = { points: 3, seconds: 3600 };
    expect(await item.take('address:a', rate)).toMatchObject({ allowed: true, remaining: 2 });
    expect(await other.take('address:a', rate)).toMatchObject({ allowed: true, remaining: 1 });
    expect(await item.take('address:a', rate)).toMatchObject({ allowed: true, remaining: 0 });
    for (const replica of [item, other, item, item]) {
      const left = await replica.take('address:a', rate);
      expect(left).toMatchObject({ allowed: false, remaining: 0 });
      expect(left.resetsIn).toBeGreaterThan(3500);
    }
    expect(await item.take('address:b', rate)).toMatchObject({ allowed: true });
    const [redis] = connections;
    const keys = (await redis?.keys('*')) ?? [];
    expect(keys.every((key) => key.startsWith('{rates}:rate:3-3600:address:'))).toBe(true);
    await server.stop();
    const refused: unknown = await item.take('address:c', rate).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(Error);
    expect(isRedisUnavailable(refused)).toBe(true);
  } finally {
    for (const redis of connections) redis.disconnect();
    await server.stop();
  }
});
