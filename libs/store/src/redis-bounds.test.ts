import { sampleDraft, sampleTemplate } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { openRedis } from '../test/open-redis.ts';
import { FIRST, readEvents } from './event-log.ts';
import { redisEventGroup } from './event-group.ts';
import { keysOf } from './keys.ts';
import { SCRIPT_CONSTANTS } from './limits.ts';
import { redisInstances } from './redis-instances.ts';
import { redisLeases, redisSuspensions } from './redis-leases.ts';

// How much of Redis a client can fill with the largest input that the control API accepts.

const MIB = 1024 ** 2;
const HOUR_MS = 3_600_000;
/** As large as a creation may have: 2 KiB as JSON. */
const METADATA = { owner: 'x'.repeat(1_024), course: 'y'.repeat(1_000 - 20) };
/** As long as the message of a failed start can be: 2,000 characters of three bytes. */
const MESSAGE = '€'.repeat(2_000);

const { redis } = await openRedis();

async function bytesOf(...keys: string[]): Promise<number> {
  const sizes = await Promise.all(keys.map((key) => redis.memory('USAGE', key, 'SAMPLES', 0)));
  return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
}

async function startedInstance(namespace: string) {
  const keys = keysOf(namespace);
  const instances = redisInstances(redis, keys);
  const template = sampleTemplate({ name: 'a'.repeat(41), maxTimeout: 24 * HOUR_MS });
  const draft = sampleDraft({ template, metadata: METADATA });
  const { id, generation } = await instances.create(draft);
  await instances.assignToHost(id, generation, 'a');
  await instances.markReady(id, generation, '10.0.0.9');
  return { keys, instances, id, leases: redisLeases(redis, keys) };
}

test('the event stream stays below 32 MiB, and below 512 bytes per event, whatever is renewed', async () => {
  const { keys, id, leases } = await startedInstance('bounds-events');
  let moved = 0;
  while (moved < SCRIPT_CONSTANTS.MAX_EVENTS + 5_000) {
    const renewals = Array.from({ length: 1_000 }, (_, i) =>
      leases.renew(id, { timeout: HOUR_MS + ++moved * 60 + i, shorten: true }),
    );
    await Promise.all(renewals);
  }
  const length = await redis.xlen(keys.events);
  const bytes = await bytesOf(keys.events);
  process.stdout.write(
    `${length} events of ${METADATA.owner.length} and more bytes of metadata: ${bytes} bytes, ${Math.ceil(bytes / length)} each\n`,
  );
  expect(length).toBeGreaterThanOrEqual(10 * 3_600);
  expect(bytes / length).toBeLessThan(512);
  expect(bytes).toBeLessThan(32 * MIB);
}, 120_000);

test('a renewal that is refused or moves nothing emits no event', async () => {
  const { keys, id, leases } = await startedInstance('bounds-renew');
  const moved = await leases.renew(id, { timeout: 2 * HOUR_MS, shorten: false });
  if (moved.kind !== 'renewed') throw new Error(`the result was ${moved.kind}`);
  const { expiresAt } = moved.instance;
  const before = await redis.xlen(keys.events);
  for (let i = 0; i < 100; i++) {
    expect(await leases.renew(id, { timeout: HOUR_MS, shorten: false })).toMatchObject({
      kind: 'earlier',
    });
    expect(await leases.renew(id, { expiresAt, shorten: false })).toMatchObject({
      kind: 'renewed',
      previousExpiresAt: expiresAt,
    });
  }
  expect(await redis.xlen(keys.events)).toBe(before);
});

test('readers get long texts from the instance, as they were at the event', async () => {
  const { keys, id, instances } = await startedInstance('bounds-texts');
  const group = redisEventGroup({ redis, blocking: redis }, keys, 'webhooks', 'one');
  await group.ensure();
  const suspensions = redisSuspensions(redis, keys);
  await suspensions.pause(id);
  await suspensions.resume(id);
  const outcome = await instances.startDraining(id, 'exited', MESSAGE);
  if (outcome.kind === 'draining') await instances.finalize(id, outcome.instance.generation);
  const { events } = await readEvents(redis, keys, FIRST, 100);
  expect(events.map(({ type }) => type)).toEqual([
    ...['pending', 'starting', 'ready', 'paused', 'resumed', 'draining', 'gone'],
  ]);
  for (const event of events) {
    expect(event.metadata).toEqual(METADATA);
    const hasMessage = event.type === 'draining' || event.type === 'gone';
    expect(event.message).toBe(hasMessage ? MESSAGE : undefined);
  }
  expect(await group.take(100)).toEqual(events.slice(3));
  // The tombstone has expired: the event remains, without its long texts.
  await redis.del(keys.instance(id));
  const { events: later } = await readEvents(redis, keys, FIRST, 100);
  expect(later.map(({ metadata, message }) => ({ metadata, message }))).toEqual(
    Array(7).fill({ metadata: {}, message: undefined }),
  );
});

test('an instance and a tombstone have a bounded size', async () => {
  const { keys, id, instances } = await startedInstance('bounds-instance');
  const own = [keys.instance(id), keys.route(id)];
  const live = await bytesOf(...own);
  const outcome = await instances.startDraining(id, 'exited', MESSAGE);
  if (outcome.kind === 'draining') await instances.finalize(id, outcome.instance.generation);
  const dead = await bytesOf(...own);
  process.stdout.write(`an instance: ${live} bytes without env; its tombstone: ${dead} bytes\n`);
  expect(live).toBeLessThan(8_192);
  expect(dead).toBeLessThan(20 * 1_024);
  expect(await redis.pttl(keys.instance(id))).toBeGreaterThan(0);
  expect(await redis.pttl(keys.route(id))).toBeGreaterThan(0);
});
