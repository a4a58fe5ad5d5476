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
  const reported: [number, boolean][] = [];
  const clock = watchClock({
    redis,
    wallClock,
    every: 10,
    onSkew: (skewMs, isSkewed) => reported.push([skewMs, isSkewed]),
  });
  onTestFinished(() => clock.stop());
  return { clock, reported };
}

test.each([HOUR, -HOUR])(
  'reports a clock that is off by %i ms once, and corrects for it',
  async (off) => {
    let looks = 0;
    const { clock, reported } = watch(() => {
      looks++;
      return Date.now() + off;
    });
    await waitFor('some looks', () => looks > 5);
    expect(reported).toEqual([[expect.closeTo(off, -3), true]]);
    expect(clock.skewMs).toBeCloseTo(off, -3);
    // Redis runs on this machine, so both clocks are the same.
    expect(Math.abs(clock.now() - Date.now())).toBeLessThan(500);
  },
);

test('reports nothing for a correct clock', async () => {
  let looks = 0;
  const { reported } = watch(() => {
    looks++;
    return Date.now() + 200;
  });
  await waitFor('some looks', () => looks > 5);
  expect(reported).toEqual([]);
});

test('reports a clock that was changed, and its correction', async () => {
  let off = 0;
  const { reported } = watch(() => Date.now() + off);
  for (const next of [HOUR, 0, -HOUR]) {
    const before = reported.length;
    off = next;
    await waitFor('the news', () => reported.length > before);
  }
  expect(reported.map(([, isSkewed]) => isSkewed)).toEqual([true, false, true]);
});
