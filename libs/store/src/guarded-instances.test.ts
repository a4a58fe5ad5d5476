import { randomBytes } from 'node:crypto';
import { newId } from '@ephemera/domain';
import type { Route } from '@ephemera/domain';
import { warmDraft, poolSpecFor } from '@ephemera/lifecycle';
import { sampleDraft, sampleTemplate } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { openRedis } from '../test/open-redis.ts';
import { keysOf } from './keys.ts';
import { redisInstances, redisProgress } from './redis-instances.ts';
import { redisIntake } from './redis-intake.ts';
import { redisSuspensions } from './redis-leases.ts';

let stores = 0;
const { server } = await openRedis();

function open() {
  const keys = keysOf(`guarded-${++stores}`);
  const redis = new Redis(server.url);
  onTestFinished(async () => {
    await redis.quit();
  });
  const route = async (id: string) =>
    JSON.parse((await redis.get(keys.route(id))) ?? 'null') as Route | null;
  return {
    redis,
    keys,
    route,
    instances: redisInstances(redis, keys),
    intake: redisIntake(redis, keys),
  };
}

const template = sampleTemplate({ access: 'token', resume: 'request' });

test('every route of a guarded instance carries its hash, in any state', async () => {
  const { redis, keys, instances, route } = open();
  const draft = sampleDraft({ template, accessHash: 'the-hash' });
  const { id, generation } = await instances.create(draft);
  const seen = [await route(id)];
  const see = async () => seen.push(await route(id));
  await instances.assignToHost(id, generation, 'a');
  await see();
  await redisProgress(redis, keys).report(
    { id, generation },
    { step: 'probing', done: undefined, message: 'x' },
  );
  await see();
  await instances.markReady(id, generation, '10.0.0.9');
  await see();
  const suspensions = redisSuspensions(redis, keys);
  await suspensions.pause(id);
  await see();
  await suspensions.resume(id);
  await see();
  const outcome = await instances.startDraining(id, 'request');
  await see();
  if (outcome.kind !== 'draining') throw new Error('the instance is not draining');
  await instances.finalize(id, outcome.instance.generation);
  await see();
  expect(seen.map((item) => [item?.state, item?.access])).toEqual(
    ['pending', 'starting', 'starting', 'ready', 'paused', 'ready', 'draining', 'gone'].map(
      (state) => [state, 'the-hash'],
    ),
  );
});

test('an unguarded instance has no hash', async () => {
  const { instances, route } = open();
  const { id } = await instances.create(sampleDraft());
  expect(await route(id)).not.toHaveProperty('access');
});

test('a warm instance is guarded from the moment of its claim', async () => {
  const { instances, intake, route } = open();
  const spec = poolSpecFor(sampleTemplate({ pool: 1, access: 'owner' }), 'http://a/{id}/');
  if (!spec) throw new Error('the template has no pool');
  const stocked = await intake.createWarm(warmDraft(spec, newId(randomBytes)), spec.fingerprint, 1);
  if (!stocked) throw new Error('the pool is full');
  await instances.assignToHost(stocked.id, stocked.generation, 'a');
  await instances.markReady(stocked.id, stocked.generation, '10.0.0.9');
  const claimed = await intake.claimWarm(
    spec.fingerprint,
    { timeout: 1_000, metadata: {}, accessHash: 'of-the-visitor' },
    {},
  );
  expect(claimed.kind).toBe('claimed');
  expect(await route(stocked.id)).toMatchObject({ state: 'ready', access: 'of-the-visitor' });
});

test('a restored instance keeps its guard, or denies all access', async () => {
  const { redis, keys, instances, route } = open();
  for (const [accessHash, access] of [
    ['the-hash', 'the-hash'],
    [undefined, ''],
  ] as const) {
    const { id, generation } = await instances.create(sampleDraft({ template, accessHash }));
    await instances.assignToHost(id, generation, 'a');
    await instances.markReady(id, generation, '10.0.0.9');
    const known = await instances.get(id);
    if (!known) throw new Error('the instance does not exist');
    await redis.flushall();
    expect(await instances.restore(known)).toBe(true);
    expect((await route(id))?.access).toBe(access);
    // Pausing and resuming writes the route from the hash again.
    const suspensions = redisSuspensions(redis, keys);
    await suspensions.pause(id);
    expect((await route(id))?.access).toBe(access);
  }
});

test('concurrent creations use a grant at most its maximum; refused ones use none', async () => {
  const { intake, redis } = open();
  const expiresAt = Date.now() + 60_000;
  const grants = [{ kind: 'link' as const, name: 'link:a', max: 3, expiresAt }];
  const refused = await intake.createOrQueue(
    sampleDraft({ template: sampleTemplate({ maxInstances: 1 }) }),
    {
      grants,
      quotaOwner: { name: 'address:x', limit: 'address', max: 0 },
    },
  );
  expect(refused).toEqual({ kind: 'full', limit: 'address' });
  const taken = await Promise.all(
    Array.from({ length: 20 }, () => intake.createOrQueue(sampleDraft(), { grants })),
  );
  expect(taken.filter(({ kind }) => kind === 'created')).toHaveLength(3);
  expect(taken.filter(({ kind }) => kind === 'exhausted')).toHaveLength(17);
  expect(taken.find(({ kind }) => kind === 'exhausted')).toEqual({
    kind: 'exhausted',
    what: 'link',
  });
  const [key = ''] = await redis.keys('*:used:*');
  expect(await redis.pttl(key)).toBeGreaterThan(50_000);
});

test('a withdrawn instance ends once and gives back one use; another generation keeps both', async () => {
  const { intake, instances, redis } = open();
  const expiresAt = Date.now() + 60_000;
  const grants = [{ kind: 'link' as const, name: 'link:w', max: 1, expiresAt }];
  const first = await intake.createOrQueue(sampleDraft(), { grants });
  if (first.kind !== 'created') throw new Error(`the result was ${first.kind}`);
  const { instance } = first;
  const { generation, createdAt } = instance;
  for (const other of [
    { ...instance, generation: generation - 1 },
    { ...instance, createdAt: createdAt - 1 },
  ]) {
    expect(await intake.withdraw(other, { grants }, 'unconfirmed')).toEqual({ kind: 'absent' });
  }
  expect(await intake.redeemed('link:w')).toBe(1);
  expect((await intake.withdraw(instance, { grants }, 'unconfirmed')).kind).toBe('draining');
  expect(await intake.redeemed('link:w')).toBe(0);
  expect(await instances.get(instance.id)).toMatchObject({ state: 'draining', reason: 'request' });
  const second = await intake.createOrQueue(sampleDraft(), { grants });
  expect(second.kind).toBe('created');
  // A repetition, because its first reply was lost, gets the same reply, and gives nothing back.
  expect((await intake.withdraw(instance, { grants }, 'unconfirmed')).kind).toBe('draining');
  expect(await intake.redeemed('link:w')).toBe(1);
  // A grant that has expired gets no count that would stay for ever.
  const [key = ''] = await redis.keys('*:used:link:w');
  await redis.del(key);
  if (second.kind === 'created') await intake.withdraw(second.instance, { grants }, 'unconfirmed');
  expect(await redis.exists(key)).toBe(0);
});
