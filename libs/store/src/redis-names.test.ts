import { isPlannedEnd } from '@ephemera/domain';
import type { EndReason, Instance, NameRoute, Route } from '@ephemera/domain';
import type { NameRequest } from '@ephemera/lifecycle';
import { sampleDraft, sampleTemplate } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openRedis } from '../test/open-redis.ts';
import { keysOf } from './keys.ts';
import { SCRIPT_CONSTANTS } from './limits.ts';
import { redisInstances } from './redis-instances.ts';
import { redisIntake } from './redis-intake.ts';
import { redisLeases, redisSuspensions } from './redis-leases.ts';
import { redisNames } from './redis-names.ts';

let stores = 0;
const { server } = await openRedis();

/** A store under a namespace of its own. */
function open() {
  const keys = keysOf(`names-${++stores}`);
  const redis = new Redis(server.url);
  onTestFinished(async () => {
    await redis.quit();
  });
  const instances = redisInstances(redis, keys);
  const intake = redisIntake(redis, keys);
  const names = redisNames(redis, keys);
  const request = (name: string, more: Partial<NameRequest> = {}, template = {}) =>
    intake.createOrQueue(
      sampleDraft({
        template: sampleTemplate(template),
        url: 'http://127.0.0.1/demo/@name/',
        ...('access' in template && { accessHash: 'hash' }),
      }),
      { name: { name, newOwner: 'token:ci', drain: 30_000, ttl: 60_000, ...more } },
    );
  const create = async (...input: Parameters<typeof request>) => {
    const result = await request(...input);
    if (result.kind !== 'created') throw new Error(`the result was ${result.kind}`);
    return result;
  };
  const markReady = async ({ id, generation }: Instance) => {
    await instances.assignToHost(id, generation, 'a');
    return instances.markReady(id, generation, `10.0.0.${stores}`);
  };
  return {
    ...{ keys, redis, instances, names, request, create, markReady },
    leases: redisLeases(redis, keys),
    suspensions: redisSuspensions(redis, keys),
    withdraw: ({ id, generation, createdAt }: Instance) =>
      intake.withdraw({ id, generation, createdAt }, {}, 'unconfirmed'),
    /** Creates an instance for a name and makes it ready. */
    async ready(...input: Parameters<typeof request>) {
      const { instance } = await create(...input);
      const lease = await markReady(instance);
      return { ...instance, replaced: lease?.replaced };
    },
    async route<T = NameRoute>(id: string): Promise<T> {
      return JSON.parse((await redis.get(keys.route(id))) ?? 'null') as T;
    },
  };
}

test('a new name leads to its first instance at once, so that visitors can wait for it', async () => {
  const { create, names, route } = open();
  const { instance } = await create('pr-1');
  expect(instance).toMatchObject({ name: 'pr-1', state: 'pending' });
  expect(await route('@pr-1')).toEqual({
    state: 'name',
    id: instance.id,
    generation: instance.generation,
  });
  const { id, generation } = instance;
  expect(await names.get('pr-1')).toMatchObject({
    name: 'pr-1',
    id,
    generation,
    owner: 'token:ci',
  });
  expect(await names.get('pr-2')).toBeUndefined();
});

test('a name moves when the new instance is ready, and the one before it ends after `drain`', async () => {
  const { create, ready, markReady, instances, names, route } = open();
  const before = await ready('pr-1');
  const { instance } = await create('pr-1');
  expect(await names.get('pr-1')).toMatchObject({ id: before.id, next: instance.id });
  expect(await route('@pr-1')).toMatchObject({ id: before.id });

  const lease = await markReady(instance);
  expect(lease?.replaced).toMatchObject({
    ...{ id: before.id, generation: before.generation, host: 'a' },
    remaining: 30_000,
  });
  expect(await names.get('pr-1')).not.toHaveProperty('next');
  expect(await route('@pr-1')).toMatchObject({ id: instance.id });
  const old = await instances.get(before.id);
  expect(old?.state).toBe('ready');
  const left = (old?.expiresAt ?? 0) - (await instances.now());
  expect(left).toBeGreaterThan(0);
  expect(left).toBeLessThanOrEqual(30_000);
  expect((await route<Route & { expiresAt: number }>(before.id)).expiresAt).toBe(old?.expiresAt);
  expect(old?.maxExpiresAt, 'no renewal is offered').toBe(old?.expiresAt);
});

test('a replaced instance ends as replaced, whatever its template does at the deadline', async () => {
  const { ready, instances } = open();
  const before = await ready('pr-1', {}, { onTimeout: 'pause' });
  await ready('pr-1', { drain: 0 });
  await expect
    .poll(async () => instances.startDraining(before.id, 'due'), { timeout: 10_000 })
    .toMatchObject({ kind: 'draining', instance: { reason: 'replaced' } });
});

test('no renewal keeps a replaced instance', async () => {
  const { ready, instances, leases } = open();
  const before = await ready('pr-1');
  await ready('pr-1');
  const held = await instances.get(before.id);
  const renewed = await leases.renew(before.id, { timeout: 60_000, shorten: true });
  expect(renewed).toMatchObject({ kind: 'renewed', instance: { expiresAt: held?.expiresAt } });
});

test('no resume keeps a replaced instance', async () => {
  const { ready, instances, suspensions } = open();
  const before = await ready('pr-1', {}, { onTimeout: 'pause', timeout: 600_000 });
  await suspensions.pause(before.id);
  await ready('pr-1');
  const held = await instances.get(before.id);
  expect(await suspensions.resume(before.id)).toMatchObject({
    ...{ kind: 'resumed', sooner: false },
    instance: { state: 'ready', expiresAt: held?.expiresAt },
  });
});

test('an older creation that becomes ready later does not get the name', async () => {
  const { create, ready, markReady, names, instances } = open();
  const before = await ready('pr-1');
  const older = await create('pr-1');
  const newer = await create('pr-1');
  expect(newer.superseded).toBe(older.instance.id);
  expect((await markReady(newer.instance))?.replaced?.id).toBe(before.id);
  // Nobody may have ended it: its own lease ends, because no visitor finds it.
  const lease = await markReady(older.instance);
  expect(lease?.replaced).toMatchObject({ id: older.instance.id, host: 'a', remaining: 0 });
  expect(lease?.expiresAt).toBeLessThanOrEqual(lease?.startedAt ?? 0);
  expect(await instances.startDraining(older.instance.id, 'due')).toMatchObject({
    ...{ kind: 'draining', instance: { reason: 'replaced' } },
  });
  expect(await names.get('pr-1')).toMatchObject({ id: newer.instance.id });
});

test('a creation while the first one starts takes the name over', async () => {
  const { create, route } = open();
  const first = await create('pr-1');
  const second = await create('pr-1');
  expect(second.superseded).toBe(first.instance.id);
  expect(await route('@pr-1')).toMatchObject({ id: second.instance.id });
});

test('of concurrent creations, the one with the highest generation has the name', async () => {
  const { ready, create, markReady, names } = open();
  await ready('pr-1');
  const created = await Promise.all(Array.from({ length: 20 }, () => create('pr-1')));
  await Promise.all(created.map(({ instance }) => markReady(instance)));
  const last = created.map(({ instance }) => instance).sort((a, b) => b.generation - a.generation);
  expect(await names.get('pr-1')).toMatchObject({
    id: last[0]?.id,
    generation: last[0]?.generation,
  });
});

test('the conditions are checked in the step that creates the instance', async () => {
  const { request, create, names, redis, keys } = open();
  expect(await request('pr-1', { match: '*' })).toEqual({ kind: 'unmatched' });
  const { instance } = await create('pr-1', { isNew: true, owner: 'token:ci' });
  const { generation } = instance;
  expect(await request('pr-1', { isNew: true })).toEqual({ kind: 'unmatched', generation });
  expect(await request('pr-1', { match: '7' })).toEqual({ kind: 'unmatched', generation });
  expect(await request('pr-1', { owner: 'token:other' })).toEqual({ kind: 'foreign' });
  expect(await redis.zcard(keys.instances)).toBe(1);
  await create('pr-1', { match: String(generation), owner: 'token:ci' });

  expect(await names.remove('pr-1', { owner: 'token:other' })).toEqual({ kind: 'foreign' });
  expect(await names.remove('pr-1', { match: '7' })).toMatchObject({ kind: 'unmatched' });
  expect(await names.remove('pr-9', {})).toEqual({ kind: 'absent' });
});

test('a name that is removed leaves nothing behind, and its instances are returned', async () => {
  const { ready, create, names, redis, keys } = open();
  const before = await ready('pr-1');
  const { instance } = await create('pr-1');
  expect(await names.remove('pr-1', {})).toEqual({
    kind: 'removed',
    ids: [before.id, instance.id],
  });
  const left = await redis.keys(`*${keys.namespace}}:*`);
  expect(left.filter((key) => /name|@/.test(key.slice(keys.queuePrefix.length)))).toEqual([]);
  expect((await names.list({ after: '', limit: 10 })).names).toEqual([]);
});

test('the instances of a removed name end, even if nothing ends them after the removal', async () => {
  const { ready, create, markReady, names, instances, leases } = open();
  const before = await ready('pr-1', {}, { onTimeout: 'pause' });
  const { instance } = await create('pr-1');
  await names.remove('pr-1', {});
  expect(await leases.renew(before.id, { timeout: 60_000, shorten: false })).toMatchObject({
    kind: 'ended',
  });
  expect((await markReady(instance))?.replaced).toMatchObject({ id: instance.id, remaining: 0 });
  for (const { id } of [before, instance]) {
    expect(await instances.startDraining(id, 'due')).toMatchObject({
      ...{ kind: 'draining', instance: { reason: 'request' } },
    });
  }
});

describe('a start by a visit', () => {
  const RESTART = { restart: 'sig.{}' };
  /** Ends an instance for a reason, and finalizes it. */
  const end = async ({ instances }: ReturnType<typeof open>, id: string, reason: EndReason) => {
    const ended = await instances.startDraining(id, reason);
    if (ended.kind !== 'draining') throw new Error(ended.kind);
    await instances.finalize(id, ended.instance.generation);
  };
  const visitOf = (generation: number) => ({
    ...{ match: String(generation), isVisit: true, newOwner: 'token:other', drain: 0, ttl: 0 },
  });

  test('keeps the owner, the expiry, `drain` and what the next visit starts', async () => {
    const store = open();
    const { ready, names, request, route, keys, redis } = store;
    const first = await ready('pr-1', { ...RESTART, drain: 7_000 });
    expect(await route('@pr-1')).toMatchObject({ startsOnVisit: true });
    const before = await names.get('pr-1');
    await end(store, first.id, 'idle');
    expect(await route('@pr-1')).toMatchObject({ ended: 'idle', startsOnVisit: true });
    const started = await request('pr-1', visitOf(first.generation));
    if (started.kind !== 'created') throw new Error(started.kind);
    const { id, generation } = started.instance;
    const { owner, expiresAt } = before ?? {};
    expect(await names.get('pr-1')).toMatchObject({ id, generation, owner, expiresAt });
    expect(await names.readRestart('pr-1')).toEqual({ owner, generation, ...RESTART });
    expect(await redis.hget(keys.name('pr-1'), 'drain')).toBe('7000');
    const left = await redis.pttl(keys.name('pr-1'));
    expect(left).toBeLessThanOrEqual(60_000);
    expect(left).toBeGreaterThan(0);
  });

  test('is one start for all who have seen the same end', async () => {
    const store = open();
    const first = await store.ready('pr-1', RESTART);
    // It lives.
    expect(await store.request('pr-1', visitOf(first.generation))).toMatchObject({
      kind: 'unmatched',
    });
    await end(store, first.id, 'ttl');
    const visits = await Promise.all(
      Array.from({ length: 10 }, () => store.request('pr-1', visitOf(first.generation))),
    );
    const kinds = visits.map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind === 'created')).toHaveLength(1);
    expect(kinds.filter((kind) => kind === 'unmatched')).toHaveLength(9);
  });

  test('is refused where the last creation does not allow it', async () => {
    const store = open();
    await store.ready('pr-1', RESTART);
    const plain = await store.ready('pr-1', { drain: 0 });
    expect(await store.names.readRestart('pr-1')).toBeUndefined();
    expect(await store.route('@pr-1')).not.toHaveProperty('startsOnVisit');
    await end(store, plain.id, 'ttl');
    expect((await store.request('pr-1', visitOf(plain.generation))).kind).toBe('unmatched');
  });

  test('of a withdrawn creation is that of the one before it', async () => {
    const store = open();
    const first = await store.ready('pr-1', RESTART);
    const { instance } = await store.create('pr-1');
    await store.withdraw(instance);
    expect(await store.names.readRestart('pr-1')).toMatchObject({
      ...RESTART,
      generation: first.generation,
    });
    expect(await store.route('@pr-1')).toMatchObject({ startsOnVisit: true });
  });

  /** Lets visits start a name whose instances all end for a reason. Returns how many were started. */
  async function startsUntilRefused(
    store: ReturnType<typeof open>,
    reason: EndReason,
    prepare: (id: string) => Promise<unknown> = () => Promise.resolve(),
  ) {
    let { id, generation } = await store.ready('pr-1', RESTART);
    for (let starts = 1; starts <= 2 * SCRIPT_CONSTANTS.MAX_NAME_CRASHES; starts++) {
      await prepare(id);
      await end(store, id, reason);
      const visit = await store.request('pr-1', visitOf(generation));
      if (visit.kind === 'crashing') {
        expect(visit).toEqual({ kind: 'crashing', id, reason });
        return starts;
      }
      if (visit.kind !== 'created') throw new Error(visit.kind);
      ({ id, generation } = visit.instance);
      await store.markReady(visit.instance);
    }
    return undefined;
  }

  /** Every reason for which an instance that was ready ends. */
  const reasons = Object.keys({
    ...{ ttl: 0, idle: 0, request: 0, exited: 0, oom: 0, orphan: 0, host_drained: 0, replaced: 0 },
  } satisfies Record<Exclude<EndReason, 'start_failed'>, 0>) as EndReason[];
  const planned = reasons.filter(isPlannedEnd);
  const crashes = reasons.filter((reason) => !isPlannedEnd(reason));

  /** Removes what is left of an instance, as its expiry does, an hour after its end. */
  const expire = ({ redis, keys }: ReturnType<typeof open>, id: string) =>
    redis.del(keys.instance(id), keys.route(id));

  test.each(crashes)(
    'is refused after five crashes (%s) in a row, until the next PUT',
    async (reason) => {
      const store = open();
      expect(await startsUntilRefused(store, reason)).toBe(SCRIPT_CONSTANTS.MAX_NAME_CRASHES);
      const { id = '', generation = 0 } = (await store.names.get('pr-1')) ?? {};
      await expire(store, id);
      expect((await store.request('pr-1', visitOf(generation))).kind).toBe('crashing');
      const next = await store.ready('pr-1', RESTART);
      await end(store, next.id, reason);
      expect((await store.request('pr-1', visitOf(next.generation))).kind).toBe('created');
    },
  );

  test.each(planned)('is not limited after an end by %s', async (reason) => {
    expect(await startsUntilRefused(open(), reason)).toBeUndefined();
  });

  test('counts an end whose record has expired before the visit', async () => {
    const store = open();
    const { MAX_NAME_CRASHES } = SCRIPT_CONSTANTS;
    let { id, generation } = await store.ready('pr-1', RESTART);
    /** Ends the instance, and visits the name after its record has expired. */
    const visitAfter = async (reason: EndReason) => {
      await end(store, id, reason);
      await expire(store, id);
      const visit = await store.request('pr-1', visitOf(generation));
      if (visit.kind !== 'created') return visit.kind;
      ({ id, generation } = visit.instance);
      await store.markReady(visit.instance);
      return visit.kind;
    };
    for (let crash = 1; crash < MAX_NAME_CRASHES; crash++) {
      expect(await visitAfter('exited')).toBe('created');
    }
    // The count begins again.
    expect(await visitAfter('idle')).toBe('created');
    for (let crash = 1; crash < MAX_NAME_CRASHES; crash++) {
      expect(await visitAfter('exited')).toBe('created');
    }
    expect(await visitAfter('exited')).toBe('crashing');
  });

  test('keeps the count if a creation after it is withdrawn', async () => {
    const store = open();
    const { id, generation } = await store.ready('pr-1', RESTART);
    await store.redis.hset(
      store.keys.name('pr-1'),
      'crashes',
      SCRIPT_CONSTANTS.MAX_NAME_CRASHES - 1,
    );
    await end(store, id, 'exited');
    const put = await store.create('pr-1', RESTART);
    await store.withdraw(put.instance);
    expect(await store.request('pr-1', visitOf(generation))).toEqual({
      ...{ kind: 'crashing', id, reason: 'exited' },
    });
  });

  test('is not limited where each instance has served for long', async () => {
    const store = open();
    const serveLong = async (id: string) =>
      store.redis.hset(
        store.keys.instance(id),
        'startedAt',
        (await store.instances.now()) - SCRIPT_CONSTANTS.NAME_STABLE_MS,
      );
    expect(await startsUntilRefused(store, 'exited', serveLong)).toBeUndefined();
  });
});

describe('a withdrawn creation', () => {
  test('leaves no new name behind', async () => {
    const { create, withdraw, request, names, route } = open();
    const { instance } = await create('pr-1', { isNew: true });
    await withdraw(instance);
    expect(await names.get('pr-1')).toBeUndefined();
    expect(await route('@pr-1')).toBeNull();
    expect((await names.list({ after: '', limit: 10 })).names).toEqual([]);
    expect((await request('pr-1', { isNew: true })).kind).toBe('created');
  });

  test('gives the name back to the instance that was starting for it', async () => {
    const { create, withdraw, markReady, names, route } = open();
    const first = await create('pr-1', { drain: 7_000 });
    const second = await create('pr-1');
    await withdraw(second.instance);
    const { id, generation } = first.instance;
    expect(await names.get('pr-1')).toMatchObject({ id, generation });
    expect(await route('@pr-1')).toEqual({ state: 'name', id, generation });
    expect((await markReady(first.instance))?.replaced).toBeUndefined();
    const third = await create('pr-1');
    expect((await markReady(third.instance))?.replaced).toMatchObject({ id });
  });

  test('gives the name back to the one that serves and the one that follows it', async () => {
    const { create, ready, withdraw, markReady, names } = open();
    const current = await ready('pr-1');
    const next = await create('pr-1', { drain: 7_000 });
    const withdrawn = [await create('pr-1'), await create('pr-1')];
    for (const { instance } of withdrawn) await withdraw(instance);
    const { id, generation } = next.instance;
    expect(await names.get('pr-1')).toMatchObject({ id: current.id, next: id, generation });
    const { replaced } = (await markReady(next.instance)) ?? {};
    expect(replaced).toMatchObject({ id: current.id, remaining: 7_000 });
  });

  test('gives the name to the one that follows, if the one that served has ended', async () => {
    const { create, ready, withdraw, instances, names } = open();
    const before = await ready('pr-1');
    const next = await create('pr-1');
    const withdrawn = await create('pr-1');
    await instances.startDraining(before.id, 'oom');
    await withdraw(withdrawn.instance);
    const { id, generation } = next.instance;
    expect(await names.get('pr-1')).toMatchObject({ id, generation });
    expect(await names.get('pr-1')).not.toHaveProperty('next');
  });

  test('keeps the reason for which the instance before it has ended', async () => {
    const { create, ready, withdraw, instances, route } = open();
    const { id } = await ready('pr-1');
    await instances.startDraining(id, 'idle');
    const { instance } = await create('pr-1');
    await withdraw(instance);
    expect(await route('@pr-1')).toMatchObject({ id, ended: 'idle' });
  });

  test('changes nothing for a later creation', async () => {
    const { create, withdraw, names } = open();
    const first = await create('pr-1');
    const second = await create('pr-1');
    await withdraw(first.instance);
    expect(await names.get('pr-1')).toMatchObject({ id: second.instance.id });
  });
});

test('if the instance ends while its successor starts, visitors wait for the successor', async () => {
  const { create, ready, markReady, instances, names, route } = open();
  for (const access of ['public', 'token']) {
    const template = access === 'token' ? { access } : {};
    const name = `pr-${access}`;
    const before = await ready(name, {}, template);
    const { instance } = await create(name, {}, template);
    await instances.startDraining(before.id, 'oom');
    const { id, generation } = instance;
    expect(await route(`@${name}`)).toEqual({ state: 'name', id, generation });
    expect(await names.get(name)).toMatchObject({ id, generation });
    expect(await names.get(name)).not.toHaveProperty('next');
    expect((await markReady(instance))?.replaced).toBeUndefined();
  }
});

test('the route of a name says why its instance ended, unless that instance is guarded', async () => {
  const { ready, create, instances, route } = open();
  const { id } = await ready('pr-1');
  await instances.startDraining(id, 'request');
  expect(await route('@pr-1')).toMatchObject({ id, ended: 'request' });
  // The next creation leads to its instance at once, because nothing serves.
  const { instance } = await create('pr-1');
  expect(await route('@pr-1')).toEqual({
    state: 'name',
    id: instance.id,
    generation: instance.generation,
  });
  const guarded = await ready('pr-2', {}, { access: 'token' });
  await instances.startDraining(guarded.id, 'request');
  expect(await route('@pr-2')).not.toHaveProperty('ended');
});

test('names are forgotten after their time, and bounded for one token and for all', async () => {
  const { create, request, names, redis, keys } = open();
  await create('pr-0');
  const owned = `${keys.queuePrefix}:owner-names:token:ci`;
  expect(await redis.zcard(owned)).toBe(1);
  await create('pr-1', { ttl: 100 });
  await expect.poll(() => names.get('pr-1'), { timeout: 10_000 }).toBeUndefined();
  expect(await redis.exists(keys.route('@pr-1'))).toBe(0);

  const fill = (key: string, count: number, score: number) =>
    redis.zadd(key, ...Array.from({ length: count }, (_, i) => [score, `n-${i}`]).flat());
  await fill(owned, SCRIPT_CONSTANTS.MAX_NAMES_PER_OWNER, Date.now() + 3_600_000);
  expect(await request('pr-2')).toEqual({ kind: 'full', limit: 'names' });
  await create('pr-2', { newOwner: 'token:other' });
  await fill(keys.names, SCRIPT_CONSTANTS.MAX_NAMES, Date.now() + 3_600_000);
  expect(await request('pr-3', { newOwner: 'token:other' })).toEqual({
    kind: 'full',
    limit: 'names',
  });
  // A name that exists can still move.
  await create('pr-2', { newOwner: 'token:other' });
  // Names whose time has passed do not count.
  await fill(keys.names, SCRIPT_CONSTANTS.MAX_NAMES, 1);
  await create('pr-3', { newOwner: 'token:other' });
});

test('a list is in alphabetical order and has pages', async () => {
  const { create, names, redis, keys } = open();
  for (const name of ['c', 'a', 'd', 'b']) await create(name);
  const page = async (after: string) => {
    const found = await names.list({ after, limit: 2 });
    return [found.names.map(({ name }) => name), found.next];
  };
  expect([await page(''), await page('b')]).toEqual([
    [['a', 'b'], 'b'],
    [['c', 'd'], undefined],
  ]);
  // An expired name, which no creation has removed yet, is on no page.
  await redis.zadd(keys.names, 1, 'aa');
  expect(await page('')).toEqual([['a', 'b'], 'b']);
  // A name that expires while the list is read does not end it.
  await redis.del(keys.name('b'));
  expect(await page('')).toEqual([['a'], 'b']);
});
