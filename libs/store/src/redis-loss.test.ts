import { randomBytes } from 'node:crypto';
import { newId } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import { warmDraft, poolSpecFor } from '@ephemera/lifecycle';
import { sampleDraft, sampleTemplate, startRedis, waitFor } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { connectRedis, isRedisUnavailable } from './connect-redis.ts';
import { withHostLock, redisAddresses } from './hosts.ts';
import { keysOf } from './keys.ts';
import { redisInstances } from './redis-instances.ts';
import { redisIntake } from './redis-intake.ts';

// A Redis that has lost its last writes, all of its data, its memory, or its role as master.

const keys = keysOf('loss');

async function open() {
  // A replica syncs at once, instead of after the 5 s in which others might connect.
  const server = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] });
  const redis = new Redis(server.url);
  onTestFinished(async () => {
    redis.disconnect();
    await server.stop();
  });
  const instances = redisInstances(redis, keys);
  const intake = redisIntake(redis, keys);
  return { server, redis, instances, intake };
}

type Opened = Awaited<ReturnType<typeof open>>;

/** A master and its replica. `promote` promotes the replica, which lacks later writes. */
async function openPair() {
  const [master, replica] = [await open(), await open()];
  await replica.redis.replicaof('127.0.0.1', String(master.server.port));
  return {
    master,
    replica,
    async promote() {
      await waitFor('the replica', async () => {
        const text = await replica.redis.info('replication');
        return text.includes('master_link_status:up');
      });
      await master.redis.wait(1, 5_000);
      await replica.redis.replicaof('NO', 'ONE');
    },
  };
}

const template = sampleTemplate({ pool: 1 });
const spec = poolSpecFor(template, 'http://localhost:8080/demo/{id}/');
const pool = spec?.fingerprint ?? '';

async function warm({ intake, instances }: Opened): Promise<Instance> {
  if (!spec) throw new Error('the template has no pool');
  const stocked = await intake.createWarm(warmDraft(spec, newId(randomBytes)), pool, 9);
  if (!stocked) throw new Error('the pool is full');
  await instances.assignToHost(stocked.id, stocked.generation, 'a');
  await instances.markReady(stocked.id, stocked.generation, '10.0.0.9');
  const instance = await instances.get(stocked.id);
  if (!instance) throw new Error('the instance does not exist');
  return instance;
}

const claim = ({ intake }: Opened) => intake.claimWarm(pool, { timeout: 7_000, metadata: {} }, {});

test('a promoted replica repeats no generation that its former master assigned', async () => {
  const { master, replica, promote } = await openPair();
  await master.instances.create(sampleDraft());
  await promote();
  const lost = [];
  for (let i = 0; i < 5; i++) lost.push(await master.instances.create(sampleDraft()));
  const next = await replica.instances.create(sampleDraft());
  expect(next.generation).toBeGreaterThan(Math.max(...lost.map(({ generation }) => generation)));
});

// The replica still lists the instance as warm. Without the check, the next visitor would share the
// first visitor's instance.
test('a promoted replica does not hand out an instance that may be claimed already', async () => {
  const { master, replica, promote } = await openPair();
  const { id } = await warm(master);
  await promote();
  expect(await claim(master)).toMatchObject({ kind: 'claimed', instance: { id } });
  expect(await claim(replica)).toEqual({ kind: 'none' });
  expect(await replica.instances.ofHost('a')).toMatchObject([{ id, unverified: true }]);
  // Instances that become warm from now on can be claimed, also behind an unverified one.
  const fresh = await warm(replica);
  expect(await replica.instances.get(fresh.id)).not.toHaveProperty('doubtful');
  expect(await claim(replica)).toMatchObject({ kind: 'claimed', instance: { id: fresh.id } });
});

test('an instance that its container labels as claimed is restored for its visitor', async () => {
  const { master, replica, promote } = await openPair();
  const { id } = await warm(master);
  await promote();
  const claimed = await claim(master);
  if (claimed.kind !== 'claimed') throw new Error('the instance was not claimed');
  expect(await replica.instances.restore(claimed.instance)).toBe(true);
  const { generation } = claimed.instance;
  expect(await replica.instances.get(id)).toMatchObject({ id, state: 'ready', generation });
  expect(await replica.redis.get(keys.route(id))).toContain('"ready"');
  expect(await replica.redis.exists(keys.pool(pool), keys.warm(pool))).toBe(0);
  expect(await replica.redis.hget(keys.hostUsed('a'), 'instances')).toBe('1');
});

test('a paused instance is restored as paused', async () => {
  const { instances, redis } = await open();
  const { id, generation } = await instances.create(sampleDraft());
  await instances.assignToHost(id, generation, 'a');
  await instances.markReady(id, generation, '10.0.0.9');
  const ready = await instances.get(id);
  if (!ready) throw new Error('the instance does not exist');
  await redis.flushall();
  expect(await instances.restore({ ...ready, state: 'paused' })).toBe(true);
  expect(await instances.get(id)).toMatchObject({ state: 'paused' });
  expect(JSON.parse((await redis.get(keys.route(id))) ?? '')).toEqual({
    state: 'paused',
    generation,
    expiresAt: ready.expiresAt,
    resume: 'manual',
  });
});

test('the address sequence does not restart at recent addresses after a loss of all data', async () => {
  const { redis } = await open();
  const addresses = redisAddresses(redis, keys, 'a');
  const input = [await addresses.next(), await addresses.next(), await addresses.next()];
  await redis.flushall();
  expect(await addresses.next()).toBe((input[2] ?? 0) + 1);
});

test('a full Redis creates no instances, but still ends them', async () => {
  const { redis, instances } = await open();
  const { id, generation } = await instances.create(sampleDraft());
  await instances.assignToHost(id, generation, 'a');
  await instances.markReady(id, generation, '10.0.0.9');
  await redis.config('SET', 'maxmemory', '1');
  const refused = await instances.create(sampleDraft()).catch((error: unknown) => error);
  expect(isRedisUnavailable(refused)).toBe(true);
  const work = async () => {
    const outcome = await instances.startDraining(id, 'request');
    if (outcome.kind !== 'draining') throw new Error('the instance is not draining');
    await instances.finalize(id, outcome.instance.generation);
    return 'done';
  };
  expect(await withHostLock(redis, keys.reconciler('a'), 30_000, work)).toBe('done');
  expect(await instances.get(id)).toMatchObject({ state: 'gone', reason: 'request' });
});

test('reconnects and repeats the command when the master becomes a replica', async () => {
  const { server, redis } = await open();
  const client = connectRedis(server.url, 'job', () => undefined);
  onTestFinished(() => {
    client.disconnect();
  });
  await client.set('a', '1');
  // No server listens there. The address only turns this server into a replica.
  await redis.replicaof('127.0.0.1', '1');
  let connections = 0;
  client.on('connect', () => connections++);
  const write = client.set('a', '2');
  await waitFor('a new connection', () => connections > 0);
  await redis.replicaof('NO', 'ONE');
  expect(await write).toBe('OK');
});
