import { expect, test, vi } from 'vitest';
import { openRedis } from '../test/open-redis.ts';
import { keysOf } from './keys.ts';
import { takeTurn } from './turns.ts';

const { redis } = await openRedis();

test('one of many workers takes the turn of a task in an interval', async () => {
  const keys = keysOf('turns');
  const takeAll = () =>
    Promise.all(Array.from({ length: 20 }, () => takeTurn(redis, keys, 'dead-hosts', 300)));
  expect((await takeAll()).filter(Boolean)).toHaveLength(1);
  expect(await takeTurn(redis, keys, 'unassigned', 300)).toBe(true);
  expect(await takeTurn(redis, keys, 'dead-hosts', 300)).toBe(false);
  await vi.waitUntil(async () => (await redis.exists(keys.turn('dead-hosts'))) === 0, 10_000);
  expect((await takeAll()).filter(Boolean)).toHaveLength(1);
});

test('while Redis is out of memory, every worker runs the task', async () => {
  const keys = keysOf('full');
  await redis.config('SET', 'maxmemory', '1');
  try {
    expect(await takeTurn(redis, keys, 'unassigned', 300)).toBe(true);
    expect(await takeTurn(redis, keys, 'unassigned', 300)).toBe(true);
  } finally {
    await redis.config('SET', 'maxmemory', '0');
  }
});
