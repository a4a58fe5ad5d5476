import type { Instance } from '@ephemera/domain';
import { sampleDraft, sampleTemplate } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { openRedis } from '../test/open-redis.ts';
import { keysOf } from './keys.ts';
import type { ListQuery } from './list-instances.ts';
import { redisInstances } from './redis-instances.ts';
import type { InstanceStore } from './redis-instances.ts';

let stores = 0;
const { server, redis } = await openRedis();

const open = () => redisInstances(redis, keysOf(`list-${++stores}`));

async function walk(instances: InstanceStore, query: Omit<ListQuery, 'cursor'>) {
  const ids: string[] = [];
  let pages = 0;
  for (let cursor: number | undefined = 0; cursor !== undefined; pages++) {
    const page = await instances.list({ ...query, cursor });
    expect(page.items.length).toBeLessThanOrEqual(query.limit);
    ids.push(...page.items.map(({ id }) => id));
    cursor = page.nextCursor;
  }
  return { ids, pages };
}

test('combines filters by metadata, state and template', async () => {
  const instances = open();
  const made: Instance[] = [];
  for (let i = 0; i < 12; i++) {
    const template = sampleTemplate({ name: i % 2 === 0 ? 'even' : 'odd' });
    const metadata = { owner: i % 3 === 0 ? 'ada' : 'bob', 'course/key': 'a=b' };
    made.push(await instances.create(sampleDraft({ template, metadata })));
  }
  for (const { id, generation } of made.slice(0, 6))
    await instances.assignToHost(id, generation, 'a');
  const ids = (...which: number[]) => which.map((i) => made[i]?.id);
  const limit = 2;
  expect((await walk(instances, { limit, metadata: { owner: 'ada' } })).ids).toEqual(
    ids(0, 3, 6, 9),
  );
  expect((await walk(instances, { limit, template: ['odd'], state: ['starting'] })).ids).toEqual(
    ids(1, 3, 5),
  );
  const all = {
    limit,
    metadata: { owner: 'ada', 'course/key': 'a=b' },
    state: ['pending' as const],
  };
  expect((await walk(instances, all)).ids).toEqual(ids(6, 9));
  expect((await walk(instances, { limit, metadata: { owner: 'eve' } })).ids).toEqual([]);
});

// Draining gives an instance a later generation. It must not move in the list.
test('an instance keeps its position when it starts draining', async () => {
  const instances = open();
  const made: Instance[] = [];
  for (let i = 0; i < 6; i++) made.push(await instances.create(sampleDraft()));
  for (const { id } of made.slice(0, 4)) await instances.startDraining(id, 'request');
  const { ids } = await walk(instances, { limit: 1, state: ['draining', 'pending'] });
  expect(ids).toEqual(made.map(({ id }) => id));
});

test('pages through 10,000 instances without blocking Redis', async () => {
  const instances = open();
  const probe = new Redis(server.url);
  const owners = ['ada', 'bob'];
  const batch = 500;
  for (let i = 0; i < 10_000; i += batch) {
    const drafts = Array.from({ length: batch }, (_, j) =>
      sampleDraft({ metadata: { owner: i + j === 7_777 ? 'rare' : (owners[j % 2] ?? '') } }),
    );
    await Promise.all(drafts.map((draft) => instances.create(draft)));
  }
  const walked = new AbortController();
  let pings = 0;
  const pinging = (async () => {
    while (!walked.signal.aborted) {
      await probe.ping();
      pings++;
    }
  })();
  const rare = await walk(instances, { limit: 100, metadata: { owner: 'rare' } });
  const everyone = await walk(instances, { limit: 1000 });
  walked.abort();
  await pinging;
  probe.disconnect();
  expect(rare.ids).toHaveLength(1);
  expect(rare.pages).toBeGreaterThanOrEqual(10);
  expect(new Set(everyone.ids).size).toBe(10_000);
  expect(everyone.pages).toBe(10);
  // Other commands ran during every page, so no single step blocked Redis.
  expect(pings).toBeGreaterThan(rare.pages + everyone.pages);
});
