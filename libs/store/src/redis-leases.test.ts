import type { Route } from '@ephemera/domain';
import type { DrainOutcome, Renewed } from '@ephemera/lifecycle';
import { sampleDraft, startRedis } from '@ephemera/test-support';
import type { StartedRedis } from '@ephemera/test-support';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectRedis } from './connect-redis.ts';
import { keysOf } from './keys.ts';
import { redisInstances } from './redis-instances.ts';
import { redisLeases } from './redis-leases.ts';

// A renewal and a kill at the same time: exactly one of the two succeeds.

const ROUNDS = 10_000;
const CONCURRENCY = 250;
const keys = keysOf('leases');

let server: StartedRedis;
let visitor: Redis;
let worker: Redis;

beforeAll(async () => {
  server = await startRedis();
  visitor = connectRedis(server.url, 'job', () => undefined);
  worker = connectRedis(server.url, 'job', () => undefined);
});
afterAll(async () => {
  visitor.disconnect();
  worker.disconnect();
  await server.stop();
});

async function race(i: number): Promise<'renewed' | 'ended'> {
  const instances = redisInstances(worker, keys);
  const draft = sampleDraft({ timeout: 1000 });
  const { id, generation } = await instances.create(draft);
  await instances.assignToHost(id, generation, 'host');
  const published = await instances.markReady(id, generation, '10.0.0.1');
  if (!published) throw new Error('it was not marked ready');
  // Due about now, so that some renewals are in time and some are too late.
  const now = await instances.now();
  await worker.hset(keys.instance(id), 'expiresAt', String(now + (i % 40)));

  const [renewed, outcome] = await Promise.all<[Promise<Renewed>, Promise<DrainOutcome>]>([
    redisLeases(visitor, keys).renew(id, { timeout: 60_000, shorten: false }),
    instances.startDraining(id, 'due'),
  ]);
  const left = await instances.get(id);
  const route = JSON.parse((await worker.get(keys.route(id))) ?? '{}') as Route;
  if (renewed.kind === 'renewed') {
    expect(outcome.kind).toBe('leased');
    expect(left).toMatchObject({ state: 'ready', expiresAt: renewed.instance.expiresAt });
    expect(route).toMatchObject({ state: 'ready', expiresAt: renewed.instance.expiresAt });
    return 'renewed';
  }
  expect(renewed.kind).toBe('ended');
  // If the renewal was too late, the kill may have asked a moment too early. It asks again.
  if (outcome.kind === 'leased')
    expect((await instances.startDraining(id, 'due')).kind).toBe('draining');
  expect((await instances.get(id))?.state).toBe('draining');
  const withdrawn = JSON.parse((await worker.get(keys.route(id))) ?? '{}') as Route;
  expect(withdrawn).toMatchObject({ state: 'draining', reason: 'ttl' });
  return 'ended';
}

test(`${ROUNDS} renewals against kills`, async () => {
  const outcomes = { renewed: 0, ended: 0 };
  for (let round = 0; round < ROUNDS; round += CONCURRENCY) {
    const raced = await Promise.all(Array.from({ length: CONCURRENCY }, (_, i) => race(round + i)));
    for (const outcome of raced) outcomes[outcome]++;
  }
  expect(outcomes.renewed + outcomes.ended).toBe(ROUNDS);
  // Both outcomes occurred, so it was a race.
  expect(outcomes.renewed).toBeGreaterThan(0);
  expect(outcomes.ended).toBeGreaterThan(0);
  // Print the ratio, which shows how close the race was.
  process.stdout.write(`${outcomes.renewed} renewed, ${outcomes.ended} ended\n`);
}, 180_000);
