import type { Instance, Route } from '@ephemera/domain';
import { sampleDraft, sampleTemplate } from '@ephemera/test-support';
import { instancesContract } from '@ephemera/test-support/instances-contract';
import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openRedis } from '../test/open-redis.ts';
import { keysOf } from './keys.ts';
import { redisInstances } from './redis-instances.ts';
import { redisIntake } from './redis-intake.ts';
import { redisLeases, redisSuspensions } from './redis-leases.ts';

let stores = 0;
const { server } = await openRedis();

/** A store under a namespace of its own, read over a second connection. */
function open(tombstone?: number) {
  const keys = keysOf(`store-${++stores}`);
  const [redis, other] = [new Redis(server.url), new Redis(server.url)];
  const close = async () => {
    await Promise.all([redis.quit(), other.quit()]);
  };
  const instances = redisInstances(redis, keys, tombstone);
  const second = redisInstances(other, keys, tombstone);
  return {
    ...{ keys, redis, instances, second, close },
    leases: redisLeases(redis, keys),
    suspensions: redisSuspensions(redis, keys),
    pools: redisIntake(redis, keys),
  };
}

function openForTest(tombstone?: number) {
  const opened = open(tombstone);
  onTestFinished(opened.close);
  const { redis, keys, instances } = opened;
  return {
    ...opened,
    async route(id: string): Promise<Route> {
      return JSON.parse((await redis.get(keys.route(id))) ?? 'null') as Route;
    },
    async ready(input = {}): Promise<Instance> {
      const { id, generation } = await instances.create(sampleDraft(input));
      await instances.assignToHost(id, generation, 'a');
      await instances.markReady(id, generation, '10.0.0.9');
      const instance = await instances.get(id);
      if (!instance) throw new Error('the instance does not exist');
      return instance;
    },
  };
}

instancesContract(({ tombstone }) => Promise.resolve(open(tombstone)));

describe('the route at its key', () => {
  test('changes with every state, and contains only what a proxy needs', async () => {
    const { instances, redis, keys, route } = openForTest();
    const template = sampleTemplate({
      ports: { web: 8080, debug: 9229 },
      stripPrefix: false,
      host: 'mask',
      forwardIdentity: true,
      visitor: { renew: 1_000, end: false, expiresHeader: true },
    });
    const { id, generation } = await instances.create(sampleDraft({ template }));
    expect(await route(id)).toEqual({ state: 'pending', generation });

    await instances.assignToHost(id, generation, 'a');
    expect(await route(id)).toEqual({ state: 'starting', generation });

    const published = await instances.markReady(id, generation, '10.0.0.9');
    expect(await route(id)).toEqual({
      state: 'ready',
      generation,
      host: 'a',
      address: '10.0.0.9',
      port: 8080,
      ports: { web: 8080, debug: 9229 },
      expiresAt: published?.expiresAt,
      template: template.name,
      stripPrefix: false,
      hostHeader: 'mask',
      forwardIdentity: true,
      expiresHeader: true,
    });

    const outcome = await instances.startDraining(id, 'exited', 'code 3: "ä/€"\n');
    if (outcome.kind !== 'draining') throw new Error('the instance is not draining');
    const dead = {
      generation: outcome.instance.generation,
      reason: 'exited',
      message: 'code 3: "ä/€"\n',
    };
    expect(await route(id)).toEqual({ state: 'draining', ...dead });
    expect(await redis.pttl(keys.route(id))).toBe(-1);

    await instances.finalize(id, dead.generation);
    expect(await route(id)).toEqual({ state: 'gone', ...dead });
  });

  test('has no message if the instance has none', async () => {
    const { instances, ready, route } = openForTest();
    const { id } = await ready();
    const ended = await instances.startDraining(id, 'request');
    expect(await route(id)).toEqual({
      state: 'draining',
      generation: ended.kind === 'draining' && ended.instance.generation,
      reason: 'request',
    });
  });

  test('of a restored instance equals that of a ready one', async () => {
    const { instances, ready, route, redis, keys } = openForTest();
    const template = sampleTemplate({ idleTimeout: 60_000, activity: 'requests' });
    const lost = await ready({ template });
    const before = await route(lost.id);
    expect(before).toMatchObject({ activity: 'requests' });
    await redis.del(keys.route(lost.id), keys.instance(lost.id));
    expect(await instances.restore(lost)).toBe(true);
    expect(await route(lost.id)).toEqual(before);
  });
});

test('the published ports of an instance are in its route, also after a claim and after a loss of Redis', async () => {
  const { instances, pools, route, redis, keys } = openForTest();
  const published = { address: '10.0.0.21', ports: { '8080': 20_001, '9229': 20_002 } };
  const { id, generation } = (await pools.createWarm(sampleDraft(), 'p', 1)) ?? {};
  if (id === undefined || generation === undefined) throw new Error('it was not created');
  await instances.assignToHost(id, generation, 'a');
  await instances.markReady(id, generation, '10.231.1.1', 'a', published);
  const spec = { timeout: 9_000, metadata: {}, accessHash: undefined, path: undefined };
  const claimed = await pools.claimWarm('p', spec, {});
  if (claimed.kind !== 'claimed') throw new Error(claimed.kind);
  expect(claimed.instance).toMatchObject({ address: '10.231.1.1', published });
  const before = await route(id);
  expect(before).toMatchObject({ state: 'ready', address: '10.231.1.1', published });
  await redis.del(keys.route(id), keys.instance(id));
  expect(await instances.restore(claimed.instance)).toBe(true);
  expect(await route(id)).toEqual(before);
});

test('a renewal changes only the deadline in the route', async () => {
  const { leases, ready, route } = openForTest();
  const { id } = await ready();
  const before = await route(id);
  const renewed = await leases.renew(id, { timeout: 300_000, shorten: false });
  if (renewed.kind !== 'renewed') throw new Error(renewed.kind);
  expect(await route(id)).toEqual({ ...before, expiresAt: renewed.instance.expiresAt });
});

test('a tombstone expires with its route, and leaves no other key', async () => {
  const { instances, ready, redis, keys } = openForTest(60_000);
  const { id } = await ready();
  const outcome = await instances.startDraining(id, 'request');
  if (outcome.kind !== 'draining') throw new Error('the instance is not draining');
  await instances.finalize(id, outcome.instance.generation);
  for (const key of [keys.instance(id), keys.route(id)]) {
    const ttl = await redis.pttl(key);
    expect(ttl).toBeGreaterThan(50_000);
    expect(ttl).toBeLessThanOrEqual(60_000);
  }
  const all = await redis.keys(`${keys.queuePrefix}:*`);
  expect(all.sort()).toEqual(
    [keys.events, keys.generation, keys.instance(id), keys.route(id)].sort(),
  );
});

test('every key of a store has its namespace', async () => {
  const { ready, redis, keys } = openForTest();
  const before = new Set(await redis.keys('*'));
  await ready();
  const made = (await redis.keys('*')).filter((key) => !before.has(key));
  expect(made.filter((key) => !key.startsWith(`{${keys.namespace}}:`))).toEqual([]);
});

test('scripts are loaded again after SCRIPT FLUSH', async () => {
  const { instances, redis } = openForTest();
  await instances.create(sampleDraft());
  await redis.script('FLUSH');
  const { id, generation } = await instances.create(sampleDraft());
  await redis.script('FLUSH');
  expect(await instances.assignToHost(id, generation, 'a')).toMatchObject({ state: 'starting' });
});

describe('list', () => {
  test('pages through live instances in the order of their creation', async () => {
    const { instances } = openForTest();
    const ids: string[] = [];
    for (let i = 0; i < 7; i++) ids.push((await instances.create(sampleDraft())).id);
    const seen: string[][] = [];
    for (let cursor: number | undefined = 0; cursor !== undefined;) {
      const page = await instances.list({ cursor, limit: 3 });
      seen.push(page.items.map(({ id }) => id));
      cursor = page.nextCursor;
    }
    expect(seen).toEqual([ids.slice(0, 3), ids.slice(3, 6), ids.slice(6)]);
    expect(await instances.count()).toBe(7);
  });

  test('ends without a cursor where the last page is full', async () => {
    const { instances } = openForTest();
    for (let i = 0; i < 2; i++) await instances.create(sampleDraft());
    expect(await instances.list({ cursor: 0, limit: 2 })).toMatchObject({ nextCursor: undefined });
    expect(await openForTest().instances.list({ cursor: 0, limit: 2 })).toEqual({
      items: [],
      nextCursor: undefined,
    });
  });

  // The cursor once named the next page's first instance. If that instance died meanwhile, the list
  // ended there, and a kill of all left the rest alive.
  test('never ends early when an instance dies between two pages', async () => {
    const { instances, second } = openForTest();
    for (let round = 0; round < 20; round++) {
      const dying: string[] = [];
      for (let i = 0; i < 20; i++) dying.push((await instances.create(sampleDraft())).id);
      const last = await instances.create(sampleDraft());
      const deaths = dying.map(async (id) => {
        const outcome = await second.startDraining(id, 'request');
        if (outcome.kind === 'draining') await second.finalize(id, outcome.instance.generation);
      });
      const walked = new Set<string>();
      for (let cursor: number | undefined = 0; cursor !== undefined;) {
        const page = await instances.list({ cursor, limit: 1 });
        for (const { id } of page.items) walked.add(id);
        cursor = page.nextCursor;
      }
      await Promise.all(deaths);
      expect(walked).toContain(last.id);
    }
  });
});

test('the timeline has the last event of each type, and outlives the instance', async () => {
  const { instances, suspensions, ready } = openForTest();
  const { routeOf } = instances;
  const { id, generation } = await ready();
  const typesOf = async () => (await instances.timeline(id)).map(({ type }) => type);
  expect(await typesOf()).toEqual(['pending', 'starting', 'ready']);
  expect(await routeOf(id)).toMatchObject({ state: 'ready', generation });
  await suspensions.pause(id);
  await suspensions.resume(id);
  const outcome = await instances.startDraining(id, 'request');
  if (outcome.kind !== 'draining') throw new Error(outcome.kind);
  await instances.finalize(id, outcome.instance.generation);
  const timeline = await instances.timeline(id);
  const rest = ['paused', 'resumed', 'draining', 'gone'];
  expect(timeline.map(({ type }) => type)).toEqual(['pending', 'starting', 'ready', ...rest]);
  const { createdAt = 0, lastTransitionAt = 0 } = (await instances.get(id)) ?? {};
  expect(timeline[0]?.at).toBe(createdAt);
  expect(timeline.at(-1)?.at).toBe(lastTransitionAt);
  expect(await instances.timeline('unknown')).toEqual([]);
  expect(await routeOf('unknown')).toBeUndefined();
});
