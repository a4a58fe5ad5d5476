import { startRedis } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { totalmem } from 'node:os';
import { expect, onTestFinished, test } from 'vitest';
import { readRedisMemory } from './redis-memory.ts';

async function connect(args: string[]): Promise<Redis> {
  const server = await startRedis({ args });
  const redis = new Redis(server.url);
  onTestFinished(async () => {
    redis.disconnect();
    await server.stop();
  });
  return redis;
}

test('the limit is maxmemory, and the use grows with the data', async () => {
  const redis = await connect(['--maxmemory', '64mb']);
  const before = await readRedisMemory(redis);
  expect(before.limit).toBe(64 * 1024 ** 2);
  await redis.set('large', Buffer.alloc(8 * 1024 ** 2));
  expect((await readRedisMemory(redis)).used).toBeGreaterThan(before.used + 7 * 1024 ** 2);
});

test('without maxmemory, the limit is the memory of the machine', async () => {
  const { limit } = await readRedisMemory(await connect([]));
  expect(limit / totalmem()).toBeGreaterThan(0.5);
  expect(limit / totalmem()).toBeLessThan(2);
});
