import { startRedis } from '@ephemera/testing';
import type { StartedRedis } from '@ephemera/testing';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { keysOf } from './keys.ts';
import { redisAddresses } from './redis-addresses.ts';

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

const FIRST = 10 * 2 ** 24 + 231 * 2 ** 16 + 256;

test('walks the whole range before it gives an address again, across workers', async () => {
  const keys = keysOf('walk');
  const range = { first: FIRST, count: 300 };
  const workers = [
    redisAddresses(redis, keys, 'a', range),
    redisAddresses(redis, keys, 'a', range),
  ];
  const given = await Promise.all(
    Array.from({ length: 300 }, (_, i) => workers[i % 2]?.next() ?? Promise.resolve('')),
  );
  expect(new Set(given).size).toBe(300);
  expect(given).toContain('10.231.1.0');
  expect(given).toContain('10.231.2.43');
  expect(await workers[0]?.next()).toBe(given[0]);
});

test('goes on after a restart where it was, each host for itself', async () => {
  const keys = keysOf('restart');
  const range = { first: FIRST, count: 65_279 };
  const next = (host: string) => redisAddresses(redis, keys, host, range).next();
  expect(await next('a')).toBe('10.231.1.1');
  expect(await next('a')).toBe('10.231.1.2');
  expect(await next('b')).toBe('10.231.1.1');
});

test('never leaves the range, and never takes the broadcast address', async () => {
  const keys = keysOf('edge');
  const range = { first: FIRST, count: 65_279 };
  const addresses = redisAddresses(redis, keys, 'a', range);
  await redis.set(keys.addresses('a'), 65_277);
  expect(await addresses.next()).toBe('10.231.255.254');
  expect(await addresses.next()).toBe('10.231.1.0');
});
