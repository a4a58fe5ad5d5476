import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sampleDraft, sampleTemplate } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { openRedis } from '../test/open-redis.ts';
import { redisHosts } from './hosts.ts';
import { keysOf } from './keys.ts';
import { MAX_SEARCHED } from './find-instances.ts';
import type { InstanceSearch } from './find-instances.ts';
import { redisInstances } from './redis-instances.ts';

let stores = 0;
const { server, redis } = await openRedis();

async function open() {
  const keys = keysOf(`find-${++stores}`);
  const instances = redisInstances(redis, keys);
  const hosts = redisHosts(redis, keys);
  for (const host of ['h1', 'h2']) await hosts.heartbeat(host, await instances.now());
  const create = async (host: string | undefined, name = 'demo', timeout = 60_000) => {
    const template = sampleTemplate({ name, timeout });
    const { id, generation } = await instances.create(sampleDraft({ template, timeout }));
    if (host !== undefined) {
      await instances.assignToHost(id, generation, host);
      await instances.markReady(id, generation, '10.231.1.1', host);
    }
    return id;
  };
  const find = async (search: Partial<InstanceSearch> = {}) => {
    const { items, total } = await instances.find({
      ...{ order: 'oldest', offset: 0, limit: 50 },
      ...search,
    });
    return { ids: items.map(({ id }) => id), total };
  };
  return { instances, create, find };
}

test('finds instances by state, host, template and the beginning of the id', async () => {
  const { create, find, instances } = await open();
  const a = await create('h1');
  const b = await create('h2', 'shop');
  const waiting = await create(undefined, 'shop');
  const ending = await create('h1');
  await instances.startDraining(ending, 'request');
  expect(await find()).toEqual({ ids: [a, b, waiting, ending], total: 4 });
  expect(await find({ state: 'ready' })).toEqual({ ids: [a, b], total: 2 });
  expect(await find({ state: 'draining' })).toEqual({ ids: [ending], total: 1 });
  expect(await find({ state: 'pending' })).toEqual({ ids: [waiting], total: 1 });
  expect(await find({ host: 'h1' })).toEqual({ ids: [a, ending], total: 2 });
  expect(await find({ host: 'h1', state: 'ready' })).toEqual({ ids: [a], total: 1 });
  expect(await find({ template: 'shop' })).toEqual({ ids: [b, waiting], total: 2 });
  expect(await find({ template: 'demo', host: 'h2' })).toEqual({ ids: [], total: 0 });
  expect(await find({ id: b.slice(0, 8) })).toEqual({ ids: [b], total: 1 });
  expect(await find({ id: b })).toEqual({ ids: [b], total: 1 });
  expect(await find({ host: 'unknown' })).toEqual({ ids: [], total: 0 });
});

test('sorts by age and by deadline, and pages by offset', async () => {
  const { create, find } = await open();
  const late = await create('h1', 'demo', 900_000);
  const soon = await create('h2', 'demo', 30_000);
  const middle = await create('h1', 'demo', 300_000);
  expect((await find({ order: 'newest' })).ids).toEqual([middle, soon, late]);
  expect((await find({ order: 'deadline' })).ids).toEqual([soon, middle, late]);
  expect(await find({ offset: 1, limit: 1 })).toEqual({ ids: [soon], total: 3 });
  expect(await find({ offset: 5 })).toEqual({ ids: [], total: 3 });
});

/** Adds entries to the list of a host and to a template, without instances. */
async function fill(host: string, count: number, template = 'other') {
  const keys = keysOf(`find-${stores}`);
  const ids = Array.from({ length: count }, (_, i) => `filler${i}`);
  await redis.hset(keys.hostInstances(host), ...ids.flatMap((id, i) => [id, `1:ready:${i}:1`]));
  await redis.sadd(keys.templateInstances(template), ...ids);
}

test('a search that would read too much leaves instances out, and says so', async () => {
  const { create, instances } = await open();
  const id = await create('h1');
  await fill('h2', 20_000);
  const page = { order: 'deadline', offset: 0, limit: 50 } as const;
  expect(await instances.find({ ...page, id })).toMatchObject({
    ...{ items: [{ id }], total: 1, isPartial: true },
  });
  expect(await instances.find({ ...page, host: 'h1' })).toMatchObject({
    ...{ total: 1, isPartial: false },
  });
});

test('the number of instances read is limited on the first host and for each filter', async () => {
  const { find, instances } = await open();
  await fill('h1', 20_000, 'demo');
  // HSCAN ends behind a whole bucket of the hash.
  const most = MAX_SEARCHED + 100;
  for (const search of [{ host: 'h1' }, { order: 'deadline' as const }, { template: 'demo' }]) {
    await redis.config('RESETSTAT');
    const { total } = await find(search);
    expect(total).toBeGreaterThanOrEqual(MAX_SEARCHED);
    expect(total).toBeLessThan(most);
    expect(await redis.info('commandstats')).not.toContain('cmdstat_smembers');
  }
  const beyond = await instances.find({
    ...{ host: 'h1', order: 'newest', offset: 999_999, limit: 50 },
  });
  expect(beyond).toMatchObject({ items: [], isPartial: true });
});

test('instances that wait are searched up to the limit', async () => {
  const { create, instances } = await open();
  const waiting = await create(undefined);
  const keys = keysOf(`find-${stores}`);
  const others = Array.from({ length: MAX_SEARCHED }, (_, i) => [String(1e15 + i), `filler${i}`]);
  await redis.zadd(keys.pending, ...others.flat());
  const page = { order: 'oldest', offset: 0, limit: 50 } as const;
  expect(await instances.find({ ...page, id: waiting })).toMatchObject({
    ...{ items: [{ id: waiting }], total: 1, isPartial: true },
  });
  expect(await instances.find({ ...page, state: 'pending' })).toMatchObject({
    ...{ total: MAX_SEARCHED, isPartial: true },
  });
});

test('the rights of deploy/redis.acl suffice for every search', async () => {
  const { create } = await open();
  const id = await create('h1');
  await create(undefined);
  await fill('h1', MAX_SEARCHED, 'demo');
  const file = join(import.meta.dirname, '../../../deploy/redis.acl');
  const [, rights = ''] = /^user ephemera (.+)$/m.exec(await readFile(file, 'utf8')) ?? [];
  const own = rights.replaceAll('{ephemera}', `{find-${stores}}`).split(' ');
  await redis.call('ACL', 'SETUSER', 'restricted', 'reset', ...own);
  const { port } = new URL(server.url);
  const user = { username: 'restricted', password: 'REPLACE-THIS-PASSWORD' };
  const restricted = new Redis({ ...user, port: Number(port) });
  try {
    const { find } = redisInstances(restricted, keysOf(`find-${stores}`));
    const page = { offset: 0, limit: 50 } as const;
    for (const order of ['oldest', 'newest', 'deadline'] as const) {
      for (const search of [{}, { host: 'h1' }, { template: 'demo' }, { id }]) {
        await expect(find({ ...page, order, ...search })).resolves.toBeDefined();
      }
    }
  } finally {
    restricted.disconnect();
  }
});

test('without a filter, all instances are paged by age, however many there are', async () => {
  const { create, find, instances } = await open();
  const first = await create('h1');
  const last = await create('h2');
  await fill('h1', MAX_SEARCHED + 1);
  expect(await find({ order: 'newest' })).toEqual({ ids: [last, first], total: 2 });
  expect(await instances.find({ order: 'oldest', offset: 1, limit: 1 })).toMatchObject({
    ...{ items: [{ id: last }], total: 2, isPartial: false },
  });
});

test('each page of a long search has the next matches in order', async () => {
  const { create, find } = await open();
  const made: string[] = [];
  for (let i = 0; i < 40; i++) {
    made.push(await create(i % 2 === 0 ? 'h1' : 'h2', 'demo', 60_000 + ((i * 17) % 40) * 1_000));
  }
  for (const order of ['oldest', 'newest', 'deadline'] as const) {
    const all = await find({ order, state: 'ready' });
    const paged: string[] = [];
    for (let offset = 0; offset < 40; offset += 4) {
      paged.push(...(await find({ order, state: 'ready', offset, limit: 4 })).ids);
    }
    expect(paged).toEqual(all.ids);
    if (order !== 'deadline') expect(paged).toEqual(order === 'oldest' ? made : made.toReversed());
  }
});

test('ended instances are listed by their end, the latest first, with cursors', async () => {
  const { create, instances } = await open();
  const ended: string[] = [];
  for (let i = 0; i < 5; i++) {
    const id = await create('h1', i % 2 === 0 ? 'demo' : 'shop');
    await instances.startDraining(id, i === 4 ? 'exited' : 'request', `end ${i}`);
    await instances.finalize(id, (await instances.get(id))?.generation ?? 0);
    ended.unshift(id);
  }
  await create('h1');
  const first = await instances.listEnded({ limit: 3 });
  expect(first.items.map(({ id }) => id)).toEqual(ended.slice(0, 3));
  const second = await instances.listEnded({ limit: 3, before: first.nextBefore });
  expect(second.items.map(({ id }) => id)).toEqual(ended.slice(3));
  expect(second.nextBefore).toBeUndefined();
  const shops = await instances.listEnded({ limit: 3, template: 'shop' });
  expect(shops.items.map(({ id }) => id)).toEqual([ended[1], ended[3]]);
  const exited = await instances.listEnded({ limit: 3, reason: 'exited' });
  expect(exited.items).toMatchObject([{ id: ended[0], reason: 'exited', message: 'end 4' }]);
});
