import { expect, test } from 'vitest';
import { redisAway } from '../src/redis-away.ts';
import { idleRace } from '../src/restart/idle-race.ts';
import { rollingRestart } from '../src/restart/rolling-restart.ts';

test(
  'a replica that is told to stop leaves no request without its answer',
  { timeout: 180_000 },
  async () => {
    const result = await rollingRestart(2, 20);
    expect(result.failed).toEqual({});
    expect(result.exitCodes).toEqual([0, 0]);
    expect(result.tunnelsDrained).toBe(2);
  },
);

test('idle connections of a balancer are not closed under it', { timeout: 120_000 }, async () => {
  const { outcomes } = await idleRace(200, 1_000);
  expect(Object.keys(outcomes)).toEqual(['200']);
});

test('while Redis is away what is known is served', { timeout: 120_000 }, async () => {
  const result = await redisAway(6_000);
  expect(Object.keys(result.known)).toEqual(['200']);
  expect(Object.keys(result.unknown)).toEqual(['503']);
  expect(result.recovery).toBeLessThan(3_000);
});
