import type { Capacity } from '@ephemera/domain';
import { sampleDraft, sampleTemplate } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { openRedis } from '../test/open-redis.ts';
import { redisHosts } from './hosts.ts';
import { keysOf } from './keys.ts';
import { redisInstances } from './redis-instances.ts';
import { redisIntake } from './redis-intake.ts';

let stores = 0;
const { server } = await openRedis();

const GB = 2 ** 30;
/** What each instance of these tests needs. */
const LIMITS = { memory: GB, cpus: 1, pids: 64 };
const RESOURCES = ['memory', 'cpus'] as const;

function open() {
  const keys = keysOf(`index-${++stores}`);
  const redis = new Redis(server.url);
  onTestFinished(async () => {
    await redis.quit();
  });
  const hosts = redisHosts(redis, keys);
  const instances = redisInstances(redis, keys);
  const intake = redisIntake(redis, keys);
  const freeKey = (resource: string) => `${keys.queuePrefix}:hosts-by-free:${resource}`;
  return {
    ...{ redis, hosts, instances, freeKey },
    async host(host: string, capacity: Capacity, ageMs = 0) {
      await hosts.heartbeat(host, (await instances.now()) - ageMs);
      await hosts.setCapacity(host, capacity);
    },
    /** Creates an instance. Returns the host that it reserves, or why it was refused. */
    async place(): Promise<string | null> {
      const draft = sampleDraft({ template: sampleTemplate({ limits: LIMITS }) });
      const taken = await intake.createOrQueue(draft, {});
      if (taken.kind !== 'created') return taken.kind;
      return redis.hget(keys.instance(draft.id), 'reservedHost');
    },
    /** The index: what is free on each host, in the order of RESOURCES. */
    async index(): Promise<Record<string, number[]>> {
      const entries: Record<string, number[]> = {};
      for (const resource of RESOURCES) {
        const flat = await redis.zrange(freeKey(resource), '0', '-1', 'WITHSCORES');
        for (let i = 0; i + 1 < flat.length; i += 2) {
          const score = flat[i + 1] === 'inf' ? Infinity : Number(flat[i + 1]);
          (entries[flat[i] ?? ''] ??= []).push(score);
        }
      }
      return entries;
    },
  };
}

test('the index follows the capacity and the reservations of each host', async () => {
  const { host, place, index, instances } = open();
  await host('a', { instances: 5, memory: 8 * GB, cpus: 4 });
  await host('b', { memory: 4 * GB });
  expect(await index()).toEqual({
    a: [8 * GB, 4000],
    b: [4 * GB, Infinity],
  });
  expect(await place()).toBe('a');
  expect(await place()).toBe('a');
  expect((await index())['a']).toEqual([6 * GB, 2000]);
  for (const { id } of (await instances.list({ cursor: 0, limit: 10 })).items) {
    const outcome = await instances.startDraining(id, 'request');
    if (outcome.kind === 'draining') await instances.finalize(id, outcome.instance.generation);
  }
  expect((await index())['a']).toEqual([8 * GB, 4000]);
  await host('a', { memory: 2 * GB });
  expect((await index())['a']).toEqual([2 * GB, Infinity]);
});

test('a host without a free instance slot leaves the index until one is free', async () => {
  const { host, hosts, place, index, instances } = open();
  await host('a', { instances: 1, memory: 8 * GB });
  expect(await place()).toBe('a');
  expect(await index()).toEqual({});
  await hosts.heartbeat('a', await instances.now());
  expect(await index()).toEqual({});
  expect(await place()).toBe('full');
  const [first] = (await instances.list({ cursor: 0, limit: 1 })).items;
  const outcome = await instances.startDraining(first?.id ?? '', 'request');
  if (outcome.kind !== 'draining') throw new Error('it is not draining');
  await instances.finalize(outcome.instance.id, outcome.instance.generation);
  expect(await index()).toEqual({ a: [8 * GB, Infinity] });
  expect(await place()).toBe('a');
});

test('a slot that becomes free on a cordoned host does not index it', async () => {
  const { host, hosts, place, index, instances } = open();
  await host('a', { instances: 1, memory: 8 * GB });
  expect(await place()).toBe('a');
  await hosts.cordon('a');
  const [first] = (await instances.list({ cursor: 0, limit: 1 })).items;
  const outcome = await instances.startDraining(first?.id ?? '', 'request');
  if (outcome.kind !== 'draining') throw new Error('it is not draining');
  await instances.finalize(outcome.instance.id, outcome.instance.generation);
  expect(await index()).toEqual({});
  expect(await place()).toBe('full');
});

test('the host with the most free memory is chosen, among those that have all resources', async () => {
  const { host, place } = open();
  await host('no-cpus', { memory: 32 * GB, cpus: 0.5 });
  await host('no-instances', { memory: 16 * GB, instances: 0 });
  await host('small', { memory: 3 * GB, cpus: 8 });
  await host('large', { memory: 4 * GB, cpus: 8 });
  expect([await place(), await place(), await place()]).toEqual(['large', 'small', 'large']);
});

test('capacity is found behind many hosts that lack another resource', async () => {
  const { host, place } = open();
  for (let i = 0; i < 250; i++) await host(`full-${i}`, { memory: 8 * GB, cpus: 0 });
  expect(await place()).toBe('full');
  await host('last', { memory: GB, cpus: 1 });
  expect(await place()).toBe('last');
  expect(await place()).toBe('full');
});

test('a dead host leaves the index, and its next heartbeat brings it back', async () => {
  const { host, hosts, place, index, instances } = open();
  for (let i = 0; i < 30; i++) await host(`dead-${i}`, { memory: 64 * GB }, 60_000);
  await host('alive', { memory: 2 * GB });
  expect(await place()).toBe('alive');
  expect(Object.keys(await index())).toEqual(['alive']);
  await hosts.heartbeat('dead-3', await instances.now());
  expect(Object.keys(await index()).sort()).toEqual(['alive', 'dead-3']);
  expect(await place()).toBe('dead-3');
});

test('while no host is alive, those that were registered last count', async () => {
  const { host, place } = open();
  await host('small', { memory: 2 * GB }, 60_000);
  await host('large', { memory: 4 * GB }, 90_000);
  expect(await place()).toBe('large');
});

test('a cordoned host is in the index again once it is uncordoned', async () => {
  const { host, hosts, place, index, instances } = open();
  await host('a', { memory: 8 * GB });
  await host('b', { memory: 4 * GB });
  await hosts.cordon('a');
  expect(Object.keys(await index())).toEqual(['b']);
  await hosts.heartbeat('a', await instances.now());
  await hosts.setCapacity('a', { memory: 9 * GB });
  expect(await place()).toBe('b');
  await hosts.uncordon('a');
  expect((await index())['a']).toEqual([9 * GB, Infinity]);
  expect(await place()).toBe('a');
});

test('an entry that promises too much reserves nothing, and is repaired', async () => {
  const { host, hosts, place, index, redis, freeKey } = open();
  await host('full', { memory: GB / 2 });
  await host('cordoned', { memory: 64 * GB });
  await host('b', { memory: 4 * GB });
  await hosts.cordon('cordoned');
  for (const resource of RESOURCES) {
    await redis.zadd(freeKey(resource), 99 * GB, 'full', 98 * GB, 'cordoned', 97 * GB, 'unknown');
  }
  expect(await place()).toBe('b');
  expect(await index()).toEqual({
    full: [GB / 2, Infinity],
    b: [3 * GB, Infinity],
  });
});

test('an entry that promises too little is repaired with the capacity, a missing one by a heartbeat', async () => {
  const { host, hosts, place, index, redis, freeKey, instances } = open();
  await host('a', { memory: 4 * GB });
  await redis.zadd(freeKey('memory'), 0, 'a');
  expect(await place()).toBe('full');
  await hosts.setCapacity('a', { memory: 4 * GB });
  expect(await place()).toBe('a');
  for (const resource of RESOURCES) await redis.del(freeKey(resource));
  await hosts.heartbeat('a', await instances.now());
  expect((await index())['a']).toEqual([3 * GB, Infinity]);
  expect(await place()).toBe('a');
});

test('hosts without free CPUs cost 3 commands for each 100', async () => {
  const { redis, host, place } = open();
  // Alive for the whole test, however slow the machine is.
  const lasting = -600_000;
  const register = async (from: number, to: number): Promise<void> => {
    for (let i = from; i < to; i++) {
      await host(`busy-${i}`, { instances: 100, memory: 64 * GB, cpus: 0.4 }, lasting);
    }
  };
  await host('free', { instances: 1_000, memory: 32 * GB, cpus: 100 }, lasting);
  const commandsOf = async (call: () => Promise<unknown>): Promise<number> => {
    await redis.config('RESETSTAT');
    await call();
    const stats = await redis.info('commandstats');
    return [...stats.matchAll(/calls=(\d+)/g)].reduce((sum, [, calls]) => sum + Number(calls), 0);
  };
  const placed = async (): Promise<void> => expect(await place()).toBe('free');

  await register(0, 100);
  await placed();
  const ofHundred = await commandsOf(placed);
  await register(100, 500);
  await placed();
  const ofFiveHundred = await commandsOf(placed);
  expect(ofFiveHundred - ofHundred).toBeLessThanOrEqual(4 * 3);
});
