import { startRedis } from '@ephemera/test-support';
import type { StartedRedis } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { keysOf } from './keys.ts';
import { redisAddresses } from './hosts.ts';

let server: StartedRedis;
let redis: Redis;
beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
});
afterAll(async () => {
  await redis.quit();
  await server.stop();
});

test('never assigns an index twice, across workers', async () => {
  const keys = keysOf('walk');
  const [addresses, two] = [redisAddresses(redis, keys, 'a'), redisAddresses(redis, keys, 'a')];
  const input = await Promise.all(
    Array.from({ length: 300 }, (_, i) => (i % 2 === 0 ? addresses : two).next()),
  );
  expect(new Set(input).size).toBe(300);
});

test('continues after a restart, separately for each host', async () => {
  const keys = keysOf('restart');
  const first = await redisAddresses(redis, keys, 'a').next();
  expect(await redisAddresses(redis, keys, 'a').next()).toBe(first + 1);
  await redisAddresses(redis, keys, 'b').next();
  expect(await redisAddresses(redis, keys, 'a').next()).toBe(first + 2);
});
