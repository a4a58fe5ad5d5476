import { expect, test } from 'vitest';
import { openRedis } from '../test/open-redis.ts';
import { keysOf } from './keys.ts';
import { redisAddresses } from './hosts.ts';

const { redis } = await openRedis();

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
