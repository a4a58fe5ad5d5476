import { acquireInstance } from '@ephemera/lifecycle';
import { sampleDraft, startSentinel, waitFor } from '@ephemera/test-support';
import type { StartedSentinel } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { connectRedis } from './connect-redis.ts';
import { keysOf } from './keys.ts';
import { redisInstances } from './redis-instances.ts';
import { redisIntake } from './redis-intake.ts';
import { redisReplication } from './replication.ts';
import { sentinelReplicas } from './required-replicas.ts';

let set: StartedSentinel;
beforeAll(async () => {
  set = await startSentinel({ downAfterMs: 60_000 });
});
afterAll(() => set.stop());

async function open() {
  const address = { url: set.url };
  const ignore = () => undefined;
  const replicas = sentinelReplicas(address);
  const [redis, dedicated] = [
    connectRedis(address, 'request', ignore),
    connectRedis(address, 'request', ignore),
  ];
  onTestFinished(() => {
    for (const item of [redis, dedicated]) item.disconnect();
    replicas.close();
  });
  await waitFor('both', () => [redis, dedicated].every(({ status }) => status === 'ready'));
  await waitFor('the sentinels', async () => (await replicas.read()) === 2);
  const keys = keysOf('ns');
  return {
    redis,
    dedicated,
    keys,
    replicas,
    replication: redisReplication(dedicated, keys, replicas),
  };
}

const outcomeOf = (confirmed: Promise<void>) =>
  confirmed.then(
    () => 'confirmed',
    (error: unknown) => String(error),
  );

test('a record that a replica has is confirmed, many at a time in few commands', async () => {
  const { redis, keys, replication } = await open();
  const ids = Array.from({ length: 500 }, (_, i) => `a${i}`);
  const master = await set.master();
  await set.command(master, 'CONFIG', 'RESETSTAT');
  await Promise.all(
    ids.map(async (id) => {
      await redis.hset(keys.instance(id), 'generation', 5);
      await replication.confirm({ id, generation: 5 });
    }),
  );
  const stats = String(await set.command(master, 'INFO', 'commandstats'));
  expect(Number(/cmdstat_wait:calls=(\d+)/.exec(stats)?.[1])).toBeLessThan(100);
});

test('a record that Redis does not have is not confirmed, and does not affect others', async () => {
  const { redis, keys, replication } = await open();
  await redis.hset(keys.instance('b'), 'generation', 5);
  const [known, lost] = await Promise.all([
    outcomeOf(replication.confirm({ id: 'b', generation: 5 })),
    outcomeOf(replication.confirm({ id: 'lost', generation: 5 })),
  ]);
  expect(known).toBe('confirmed');
  expect(lost).toContain('store_unavailable');
});

// An instance of a pool has a record before it is claimed.
test('a claim that Redis does not have is not confirmed', async () => {
  const { redis, keys, replication } = await open();
  await redis.hset(keys.instance('w'), 'generation', 4);
  const confirmation = replication.confirm({ id: 'w', generation: 5 });
  expect(await outcomeOf(confirmation)).toContain('store_unavailable');
  await redis.hset(keys.instance('w'), 'generation', 6);
  await replication.confirm({ id: 'w', generation: 5 });
});

// The number of replicas is unknown until the first answer of the sentinels.
test('the first confirmation waits for all replicas', async () => {
  const { redis, dedicated, keys, replicas } = await open();
  const replication = redisReplication(dedicated, keys, { read: () => replicas.read(), last: 1 });
  await redis.hset(keys.instance('f'), 'generation', 5);
  const master = await set.master();
  const replica = set.nodes.find(({ port }) => port !== master.port);
  process.kill(replica?.pid ?? 0, 'SIGSTOP');
  try {
    const outcome = outcomeOf(replication.confirm({ id: 'f', generation: 5 }));
    await waitFor('WAIT', async () => (await redis.info('clients')).includes('blocked_clients:1'));
    process.kill(replica?.pid ?? 0, 'SIGCONT');
    expect(await outcome).toBe('confirmed');
  } finally {
    process.kill(replica?.pid ?? 0, 'SIGCONT');
  }
});

// The sentinels may promote the replica that lags.
test('the answer of one of two replicas is not enough', async () => {
  const { redis, keys, replication } = await open();
  await redis.hset(keys.instance('d'), 'generation', 5);
  const master = await set.master();
  const replica = set.nodes.find(({ port }) => port !== master.port);
  process.kill(replica?.pid ?? 0, 'SIGSTOP');
  try {
    expect(await outcomeOf(replication.confirm({ id: 'd', generation: 5 }))).toContain(
      'store_unavailable',
    );
  } finally {
    process.kill(replica?.pid ?? 0, 'SIGCONT');
  }
  await waitFor(
    'both',
    async () => (await outcomeOf(replication.confirm({ id: 'd', generation: 5 }))) === 'confirmed',
  );
});

test('without an answer from a replica, nothing is confirmed, and other connections go on', async () => {
  const { redis, keys, replication } = await open();
  await redis.hset(keys.instance('c'), 'generation', 5);
  const master = await set.master();
  const replicas = set.nodes.filter(({ port }) => port !== master.port);
  for (const { pid } of replicas) process.kill(pid, 'SIGSTOP');
  try {
    const confirmed = outcomeOf(replication.confirm({ id: 'c', generation: 5 }));
    const began = performance.now();
    expect(await redis.hget(keys.instance('c'), 'generation')).toBe('5');
    expect(performance.now() - began).toBeLessThan(500);
    expect(await confirmed).toContain('store_unavailable');
    // By now the master itself refuses writes.
    expect(await outcomeOf(replication.confirm({ id: 'c', generation: 5 }))).toContain(
      'store_unavailable',
    );
  } finally {
    for (const { pid } of replicas) process.kill(pid, 'SIGCONT');
  }
  await waitFor('the replicas again', async () => {
    return (await outcomeOf(replication.confirm({ id: 'c', generation: 5 }))) === 'confirmed';
  });
});

test('the grant of a start that is not confirmed starts another instance', async () => {
  const { redis, keys, replication } = await open();
  const instances = redisInstances(redis, keys);
  const nothing = () => Promise.resolve();
  const ports = {
    ...{ instances, intake: redisIntake(redis, keys, undefined, replication) },
    spawns: { add: nothing },
    killJobs: { schedule: nothing, cancel: nothing },
    killRequests: { enqueueNow: nothing },
    refills: { request: nothing },
    isReachable: () => Promise.resolve(true),
    onError: (error: unknown) => expect.unreachable(String(error)),
  };
  const grants = [
    { kind: 'link' as const, name: 'link:a', max: 1, expiresAt: Date.now() + 60_000 },
  ];
  const draft = sampleDraft();
  const master = await set.master();
  const replica = set.nodes.find(({ port }) => port !== master.port);
  process.kill(replica?.pid ?? 0, 'SIGSTOP');
  try {
    await expect(acquireInstance(ports, draft, { grants })).rejects.toThrow('store_unavailable');
  } finally {
    process.kill(replica?.pid ?? 0, 'SIGCONT');
  }
  // No host has begun to start it, so nothing remains to be removed.
  expect(await instances.get(draft.id)).toMatchObject({ state: 'gone' });
  await waitFor('a confirmed start', async () => {
    const repeated = acquireInstance(ports, sampleDraft(), { grants });
    return (await repeated.catch(() => undefined))?.kind === 'created';
  });
  expect((await acquireInstance(ports, sampleDraft(), { grants })).kind).toBe('exhausted');
});
