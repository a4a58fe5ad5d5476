import { expect, test } from 'vitest';
import { openRedis } from '../test/open-redis.ts';
import { redisHosts } from './hosts.ts';
import { keysOf } from './keys.ts';

const { redis } = await openRedis();

const NOW = 1_900_000_000_000;

test('a host is alive for 15 s after its last heartbeat, and stays listed', async () => {
  const hosts = redisHosts(redis, keysOf('alive'));
  expect(await hosts.alive(NOW)).toEqual([]);
  await hosts.heartbeat('a', NOW - 15_000);
  await hosts.heartbeat('b', NOW - 15_001);
  await hosts.heartbeat('c', NOW - 60_000);
  await hosts.heartbeat('c', NOW);
  expect((await hosts.alive(NOW)).sort()).toEqual(['a', 'c']);
  expect((await hosts.all()).sort()).toEqual(['a', 'b', 'c']);
});

test('lists every host with its last heartbeat', async () => {
  const hosts = redisHosts(redis, keysOf('signs'));
  await hosts.heartbeat('a', NOW - 20_000);
  expect(await hosts.hostStatuses(NOW)).toEqual([
    { host: 'a', seenAt: NOW - 20_000, alive: false },
  ]);
  await hosts.heartbeat('a', NOW);
  expect(await hosts.hostStatuses(NOW)).toEqual([{ host: 'a', seenAt: NOW, alive: true }]);
});

test('the first cordon of a host keeps its time, and only a registered host gets one', async () => {
  const hosts = redisHosts(redis, keysOf('cordons'));
  expect([await hosts.cordon('a'), await hosts.drain('a', undefined)]).toEqual([false, false]);
  expect(await hosts.cordons()).toEqual(new Map());
  await hosts.heartbeat('a', NOW);
  expect(await hosts.cordon('a')).toBe(true);
  const first = await hosts.cordonOf('a');
  expect(first?.since).toBeGreaterThan(1_700_000_000_000);
  expect(await hosts.drain('a', NOW + 5)).toBe(true);
  expect(await hosts.cordonOf('a')).toEqual({
    ...first,
    drain: { deadline: NOW + 5, isEmpty: false },
  });
  await hosts.drain('a', NOW + 6);
  // Who only wants to wait for the drain again does not change it.
  await hosts.drain('a', undefined);
  expect(await hosts.cordonOf('a')).toMatchObject({ drain: { deadline: NOW + 6 } });
  expect(await hosts.cordon('a')).toBe(true);
  expect(await hosts.drain('a', undefined)).toBe(true);
  expect(await hosts.cordons()).toEqual(new Map([['a', { ...first, drain: { isEmpty: false } }]]));
  await hosts.uncordon('a');
  await hosts.uncordon('a');
  expect(await hosts.cordonOf('a')).toBeUndefined();
});

test('a report about containers counts only for the drain that runs', async () => {
  const hosts = redisHosts(redis, keysOf('reports'));
  await hosts.heartbeat('a', NOW);
  await hosts.reportEmpty('a', true);
  expect(await hosts.cordonOf('a')).toBeUndefined();
  await hosts.cordon('a');
  await hosts.reportEmpty('a', true);
  expect(await hosts.cordonOf('a')).not.toHaveProperty('drain');
  await hosts.drain('a', NOW);
  await hosts.reportEmpty('a', true);
  expect(await hosts.cordonOf('a')).toMatchObject({ drain: { deadline: NOW, isEmpty: true } });
  await hosts.reportEmpty('a', false);
  expect(await hosts.cordonOf('a')).toMatchObject({ drain: { isEmpty: false } });
  await hosts.reportEmpty('a', true);
  await hosts.drain('a', undefined);
  expect(await hosts.cordonOf('a')).toMatchObject({ drain: { isEmpty: false } });
});
