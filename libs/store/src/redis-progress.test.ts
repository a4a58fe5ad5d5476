import type { Route } from '@ephemera/domain';
import { sampleDraft, sampleTemplate } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { openRedis } from '../test/open-redis.ts';
import { keysOf } from './keys.ts';
import { redisInstances, redisProgress } from './redis-instances.ts';

const keys = keysOf('test');
const { redis } = await openRedis();

const template = sampleTemplate({ ready: { kind: 'tcp', within: 5_000 }, maxTimeout: 60_000 });
const pulling = { step: 'pulling', done: 0.5, message: 'Pulling.' } as const;
const routeOf = async (id: string) => JSON.parse((await redis.get(keys.route(id))) ?? '') as Route;

async function starting() {
  const instances = redisInstances(redis, keys);
  const { id, generation } = await instances.create(sampleDraft({ template }));
  const assigned = await instances.assignToHost(id, generation, 'a');
  if (typeof assigned !== 'object') throw new Error('it was not assigned');
  return { instances, instance: assigned };
}

test('a step appears in the instance and its route, and disappears when it is ready', async () => {
  const { instances, instance } = await starting();
  const { id, generation } = instance;
  expect(await redisProgress(redis, keys).report(instance, pulling)).toBe(instance.expiresAt);
  expect(await instances.get(id)).toMatchObject({ state: 'starting', message: 'Pulling.' });
  expect(await routeOf(id)).toEqual({ state: 'starting', generation, step: 'pulling', done: 0.5 });

  await instances.markReady(id, generation, '10.0.0.1');
  expect(await instances.get(id)).toMatchObject({ state: 'ready', message: undefined });
});

test('a start deadline is extended, never shortened, and never past the ceiling', async () => {
  const { instance } = await starting();
  const { report } = redisProgress(redis, keys);
  const off = await report(instance, pulling, 20_000);
  expect(off).toBeGreaterThan(instance.expiresAt + 10_000);
  expect(await report(instance, pulling, 1_000)).toBe(off);
  expect(await report(instance, pulling)).toBe(off);
  expect(await report(instance, pulling, 3_600_000)).toBe(instance.maxExpiresAt);
});

test('a step changes nothing when it serves, and reports a killed instance', async () => {
  const { instances, instance } = await starting();
  const { id, generation } = instance;
  const { report } = redisProgress(redis, keys);
  await instances.markReady(id, generation, '10.0.0.1');
  const [ready, route] = [await instances.get(id), await routeOf(id)];
  expect(await report(instance, pulling, 3_000_000)).toBe(ready?.expiresAt);
  expect([await instances.get(id), await routeOf(id)]).toEqual([ready, route]);

  await instances.startDraining(id, 'request');
  expect(await report(instance, pulling)).toBeUndefined();
  expect(await routeOf(id)).toMatchObject({ state: 'draining' });
});

test('a step gives a pool instance no route', async () => {
  const { instance } = await starting();
  await redis.del(keys.route(instance.id));
  await redisProgress(redis, keys).report(instance, pulling);
  expect(await redis.get(keys.route(instance.id))).toBeNull();
});
