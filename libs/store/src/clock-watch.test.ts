import { startRedis, waitFor } from '@ephemera/test-support';
import type { StartedRedis } from '@ephemera/test-support';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { watchClock } from './clock-watch.ts';
import { connectRedis } from './connect-redis.ts';

let server: StartedRedis;
let redis: Redis;
beforeAll(async () => {
  server = await startRedis();
  redis = connectRedis(server.url, 'request', () => undefined);
  await waitFor('Redis', () => redis.status === 'ready');
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

const HOUR = 3_600_000;

function watch(wallClock: () => number) {
  const told: [number, boolean][] = [];
  const clock = watchClock({
    redis,
    wallClock,
    every: 10,
    onSkew: (ahead, isSkewed) => told.push([ahead, isSkewed]),
  });
  onTestFinished(() => clock.stop());
  return { clock, told };
}

test.each([HOUR, -HOUR])(
  'a clock that is off by %i ms is told of once, and seen through',
  async (off) => {
    let looks = 0;
    const { clock, told } = watch(() => {
      looks++;
      return Date.now() + off;
    });
    await waitFor('some looks', () => looks > 5);
    expect(told).toEqual([[expect.closeTo(off, -3), true]]);
    expect(clock.ahead).toBeCloseTo(off, -3);
    // The server runs on this machine, so its clock is ours.
    expect(Math.abs(clock.now() - Date.now())).toBeLessThan(500);
  },
);

test('a clock that is right is no news', async () => {
  let looks = 0;
  const { told } = watch(() => {
    looks++;
    return Date.now() + 200;
  });
  await waitFor('some looks', () => looks > 5);
  expect(told).toEqual([]);
});

test('a clock that was set is told of again, and so is that it is right', async () => {
  let off = 0;
  const { told } = watch(() => Date.now() + off);
  for (const next of [HOUR, 0, -HOUR]) {
    const before = told.length;
    off = next;
    await waitFor('the news', () => told.length > before);
  }
  expect(told.map(([, isSkewed]) => isSkewed)).toEqual([true, false, true]);
});
