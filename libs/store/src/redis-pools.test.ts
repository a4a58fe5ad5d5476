import { randomBytes } from 'node:crypto';
import { newId } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import { warmDraft, poolSpecFor } from '@ephemera/lifecycle';
import { sampleTemplate } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openRedis } from '../test/open-redis.ts';
import { keysOf } from './keys.ts';
import { redisInstances } from './redis-instances.ts';
import { redisIntake } from './redis-intake.ts';
import { redisLeases } from './redis-leases.ts';
import { redisPools } from './redis-pools.ts';

let stores = 0;
const { server } = await openRedis();

const PATTERN = 'http://localhost:8080/demo/{id}/';

function open(input: Parameters<typeof sampleTemplate>[0] = {}) {
  const keys = keysOf(`pools-${++stores}`);
  const redis = new Redis(server.url);
  onTestFinished(async () => {
    await redis.quit();
  });
  const spec = poolSpecFor(sampleTemplate({ pool: 1, timeout: 9_000, ...input }), PATTERN);
  if (!spec) throw new Error('the template has no pool');
  const instances = redisInstances(redis, keys);
  const intake = redisIntake(redis, keys);
  const { fingerprint } = spec;
  const stock = (desired = 100) =>
    intake.createWarm(warmDraft(spec, newId(randomBytes)), fingerprint, desired);
  return {
    keys,
    redis,
    instances,
    intake,
    pools: redisPools(redis, keys),
    spec,
    stock,
    claim: (metadata = {}, context = {}) =>
      intake.claimWarm(fingerprint, { timeout: 7_000, metadata }, context),
    async warm(): Promise<Instance> {
      const stocked = await stock();
      if (!stocked) throw new Error('the pool is full');
      const { id, generation } = stocked;
      await instances.assignToHost(id, generation, 'a');
      await instances.markReady(id, generation, '10.0.0.9');
      const instance = await instances.get(id);
      if (!instance) throw new Error('the instance does not exist');
      return instance;
    },
  };
}

describe('a warm instance', () => {
  test('has no route in any state, and cannot be renewed', async () => {
    const { stock, instances, redis, keys } = open();
    const stocked = await stock();
    if (!stocked) throw new Error('the pool is full');
    const { id, generation } = stocked;
    expect(stocked.url).toBe(`http://localhost:8080/demo/${id}/`);
    const route = () => redis.exists(keys.route(id));
    expect(await route()).toBe(0);
    await instances.assignToHost(id, generation, 'a');
    expect(await route()).toBe(0);
    const published = await instances.markReady(id, generation, '10.0.0.9');
    // A second run of the job, after a takeover, returns the same.
    expect(await instances.markReady(id, generation, '10.0.0.9')).toEqual(published);
    expect(await route()).toBe(0);
    expect(await instances.get(id)).toMatchObject({
      state: 'warm',
      pool: expect.any(String) as string,
      expiresAt: (published?.startedAt ?? 0) + 60_000,
    });
    const leases = redisLeases(redis, keys);
    expect(await leases.renew(id, { timeout: 1_000, shorten: false })).toEqual({
      kind: 'starting',
    });
  });

  test('ends at its maximum age, leaves no route, and cannot be claimed', async () => {
    const { warm, instances, claim, redis, keys, pools, spec } = open({ poolMaxAge: 1 });
    const { id } = await warm();
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect((await claim()).kind).toBe('none');
    const outcome = await instances.startDraining(id, 'due');
    if (outcome.kind !== 'draining') throw new Error('the instance is not draining');
    expect(outcome.instance.reason).toBe('ttl');
    await instances.finalize(id, outcome.instance.generation);
    expect(await redis.exists(keys.route(id))).toBe(0);
    expect(await pools.count(spec.fingerprint)).toBe(0);
    expect(await pools.fingerprints()).toEqual([]);
  });

  test('leaves its pool when its start fails, and the pool backs off', async () => {
    const { stock, instances, pools, spec, redis, keys } = open();
    const stocked = await stock(2);
    await instances.startDraining(stocked?.id ?? '', 'start_failed', 'no');
    expect(await pools.count(spec.fingerprint)).toBe(0);
    expect(await stock(2)).toBeUndefined();
    const resting = `${keys.pool(spec.fingerprint)}:backoff`;
    expect(await redis.pttl(resting)).toBeGreaterThan(25_000);
    await redis.del(resting);
    expect(await stock(2)).toBeDefined();
  });
});

describe('a claim', () => {
  test('sets lease, metadata and route under a new generation, in one step', async () => {
    const { warm, claim, instances, redis, keys } = open({ idleTimeout: 5_000 });
    const before = await warm();
    const now = await instances.now();
    const claimed = await claim({ who: 'me' });
    if (claimed.kind !== 'claimed') throw new Error(`the result was ${claimed.kind}`);
    const { instance } = claimed;
    expect(instance).toMatchObject({
      id: before.id,
      state: 'ready',
      supersedes: before.generation,
      timeout: 7_000,
      metadata: { who: 'me' },
    });
    expect(instance.generation).toBeGreaterThan(before.generation);
    expect(instance.pool).toBeUndefined();
    expect(instance.createdAt).toBeGreaterThanOrEqual(now);
    expect(instance.expiresAt).toBe(instance.createdAt + 7_000);
    expect(instance.maxExpiresAt).toBe(instance.createdAt + 3_600_000);
    expect(JSON.parse((await redis.get(keys.route(before.id))) ?? '')).toEqual({
      state: 'ready',
      generation: instance.generation,
      host: before.host,
      address: '10.0.0.9',
      port: 8080,
      ports: { web: 8080 },
      expiresAt: instance.expiresAt,
      template: 'demo',
      stripPrefix: true,
      hostHeader: 'pass',
      activity: 'connections',
    });
    // The kill job from its time in the pool asks again at the new deadline, or after the idle
    // timeout.
    const outcome = await instances.startDraining(before.id, 'due');
    expect(outcome.kind).toBe('leased');
  });

  // Container labels cannot change. They carry the ceiling that the instance had in its pool.
  test('leaves a tombstone that outlives the labels of a leftover container', async () => {
    const { warm, claim, instances, redis, keys } = open({ poolMaxAge: 60_000 });
    const { id, maxExpiresAt } = await warm();
    await claim();
    const outcome = await instances.startDraining(id, 'request');
    if (outcome.kind !== 'draining') throw new Error('the instance is not draining');
    expect(outcome.instance.maxExpiresAt).toBeLessThan(maxExpiresAt);
    await instances.finalize(id, outcome.instance.generation, 'left');
    expect(await redis.pexpiretime(keys.instance(id))).toBeGreaterThanOrEqual(maxExpiresAt);
  });

  test('never hands out an instance twice: 50 warm ones, 1,000 concurrent claims', async () => {
    const { warm, claim } = open();
    await Promise.all(Array.from({ length: 50 }, () => warm()));
    const claims = await Promise.all(Array.from({ length: 1_000 }, () => claim()));
    const ids = claims.flatMap((claimed) =>
      claimed.kind === 'claimed' ? [claimed.instance.id] : [],
    );
    expect(ids).toHaveLength(50);
    expect(new Set(ids).size).toBe(50);
    expect(claims.filter(({ kind }) => kind === 'none')).toHaveLength(950);
  });

  test('races with the removal of surplus, and exactly one succeeds', async () => {
    const { warm, claim, instances } = open();
    for (let round = 0; round < 200; round++) {
      const { id } = await warm();
      const both = [claim(), instances.startDraining(id, 'surplus')] as const;
      const [claimed, outcome] = await Promise.all(both);
      const has = claimed.kind === 'claimed' ? 'absent' : 'draining';
      expect(outcome.kind).toBe(has);
    }
  });

  // A worker that died between marking and removal once left an instance that nobody could claim.
  test('finds a surplus instance that was not ended', async () => {
    const { warm, claim, pools, spec } = open();
    const { id } = await warm();
    expect(await pools.unclaimed(spec.fingerprint, 1)).toEqual([id]);
    expect(await claim()).toMatchObject({ kind: 'claimed', instance: { id } });
  });

  test('races with the maximum age, and exactly one succeeds', async () => {
    const { warm, claim, instances, redis, keys } = open({ poolMaxAge: 3 });
    for (let round = 0; round < 200; round++) {
      const { id } = await warm();
      const [claimed, outcome] = await Promise.all([
        new Promise((resolve) => setTimeout(resolve, round % 5)).then(() => claim()),
        new Promise((resolve) => setTimeout(resolve, 3)).then(() =>
          instances.startDraining(id, 'due'),
        ),
      ]);
      const route = await redis.exists(keys.route(id));
      if (claimed.kind === 'claimed') {
        expect([outcome.kind, route]).toEqual(['leased', 1]);
        await instances.startDraining(id, 'request');
      } else {
        expect(route).toBe(0);
        await instances.startDraining(id, 'request');
      }
    }
  });

  test('counts against the owner’s quota and uses its idempotency key', async () => {
    const { warm, claim, intake } = open();
    await Promise.all([warm(), warm()]);
    const quotaOwner = { name: 'address:192.0.2.1', limit: 'address', max: 1 } as const;
    const context = { quotaOwner, idempotency: { key: 'k', digest: 'd', salt: 's' } };
    const first = await claim({}, context);
    if (first.kind !== 'claimed') throw new Error(`the result was ${first.kind}`);
    expect(await claim({}, context)).toMatchObject({
      kind: 'repeated',
      id: first.instance.id,
      salt: 's',
    });
    expect(await claim({}, { quotaOwner })).toEqual({ kind: 'full', limit: 'address' });
    // An instance that turned out to be dead uses up neither the quota nor the key.
    const withdrawn = await intake.withdraw(first.instance, context, 'unreachable');
    expect(withdrawn).toMatchObject({ kind: 'draining', instance: { reason: 'exited' } });
    const again = await claim({}, context);
    expect(again.kind).toBe('claimed');
    // A repeated withdrawal leaves the key to the instance that has it now.
    await intake.withdraw(first.instance, context, 'unreachable');
    expect(await claim({}, context)).toMatchObject({
      kind: 'repeated',
      id: again.kind === 'claimed' ? again.instance.id : '',
    });
  });
});

describe('a pool', () => {
  test('never exceeds its desired size under concurrent scale-ups', async () => {
    const { stock, redis, keys } = open();
    const stocked = await Promise.all(Array.from({ length: 500 }, () => stock(7)));
    expect(stocked.filter(Boolean)).toHaveLength(7);
    expect(await redis.zcard(keys.instances)).toBe(7);
  });

  test('counts against its template’s limit, and does not overtake its queue', async () => {
    const { stock, intake, spec } = open({ maxInstances: 2, whenFull: 'queue' });
    expect(await stock()).toBeDefined();
    const ask = () => intake.createOrQueue({ ...warmDraft(spec, newId(randomBytes)) }, {});
    expect([(await ask()).kind, (await ask()).kind]).toEqual(['created', 'queued']);
    expect(await stock()).toBeUndefined();
  });

  test('changes with the template’s content, but not with its size', () => {
    const of = (input: Parameters<typeof sampleTemplate>[0], pattern = PATTERN) =>
      poolSpecFor(sampleTemplate({ pool: 1, ...input }), pattern)?.fingerprint;
    const before = of({});
    expect(of({ pool: 5, maxInstances: 9, poolMaxAge: 1_000 })).toBe(before);
    expect(of({ image: 'ephemera/other' })).not.toBe(before);
    expect(of({ env: { A: '1' } })).not.toBe(before);
    expect(of({}, 'http://elsewhere/{id}/')).not.toBe(before);
    expect(of({ pool: 0 })).toBeUndefined();
  });

  test('has the larger of its size and its scheduled minimum', async () => {
    const entry = { cron: '0 9 * * *', ready: 40, for: 60_000, tz: 'UTC' };
    const { pools, spec } = open({ pool: 2, schedule: [entry, entry] });
    expect(await pools.desiredCount(spec.template)).toBe(2);
    await pools.setScheduledMinimum('demo', 1, 40, 60_000);
    expect(await pools.desiredCount(spec.template)).toBe(40);
  });

  test('replaces all specs, so that a removed pool is no longer listed', async () => {
    const { pools, spec } = open();
    await pools.setPoolSpecs([spec]);
    expect(await pools.listPoolSpecs()).toEqual([spec]);
    await pools.setPoolSpecs([]);
    expect(await pools.listPoolSpecs()).toEqual([]);
  });
});

// The second run of a spawn job once mistook a claim for a kill, and removed the visitor's
// container.
test('marking ready again after a claim returns the same start', async () => {
  const { warm, claim, instances } = open();
  const { id, generation } = await warm();
  const again = await instances.markReady(id, generation, '10.0.0.9');
  expect(again).toBeDefined();
  const claimed = await claim();
  if (claimed.kind !== 'claimed') throw new Error(claimed.kind);
  const { expiresAt } = claimed.instance;
  expect(await instances.markReady(id, generation, '10.0.0.9')).toMatchObject({ expiresAt });
  expect(await instances.markReady(id, generation, '10.0.0.8')).toBeUndefined();
  expect(await instances.get(id)).toEqual(claimed.instance);
});
