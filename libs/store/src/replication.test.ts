import { startSentinel, waitFor } from '@ephemera/test-support';
import type { StartedSentinel } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { connectRedis } from './connect-redis.ts';
import { keysOf } from './keys.ts';
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
  return { redis, dedicated, keys, replication: redisReplication(dedicated, keys, replicas) };
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
      await redis.hset(keys.instance(id), 'id', id);
      await replication.confirm(id);
    }),
  );
  const stats = String(await set.command(master, 'INFO', 'commandstats'));
  expect(Number(/cmdstat_wait:calls=(\d+)/.exec(stats)?.[1])).toBeLessThan(100);
});

test('a record that Redis does not have is not confirmed, and does not affect others', async () => {
  const { redis, keys, replication } = await open();
  await redis.hset(keys.instance('b'), 'id', 'b');
  const [known, lost] = await Promise.all([
    outcomeOf(replication.confirm('b')),
    outcomeOf(replication.confirm('lost')),
  ]);
  expect(known).toBe('confirmed');
  expect(lost).toContain('store_unavailable');
});

// The sentinels may promote the replica that lags.
test('the answer of one of two replicas is not enough', async () => {
  const { redis, keys, replication } = await open();
  await redis.hset(keys.instance('d'), 'id', 'd');
  const master = await set.master();
  const replica = set.nodes.find(({ port }) => port !== master.port);
  process.kill(replica?.pid ?? 0, 'SIGSTOP');
  try {
    expect(await outcomeOf(replication.confirm('d'))).toContain('store_unavailable');
  } finally {
    process.kill(replica?.pid ?? 0, 'SIGCONT');
  }
  await waitFor('both', async () => (await outcomeOf(replication.confirm('d'))) === 'confirmed');
});

test('without an answer from a replica, nothing is confirmed, and other connections go on', async () => {
  const { redis, keys, replication } = await open();
  await redis.hset(keys.instance('c'), 'id', 'c');
  const master = await set.master();
  const replicas = set.nodes.filter(({ port }) => port !== master.port);
  for (const { pid } of replicas) process.kill(pid, 'SIGSTOP');
  try {
    const confirmed = outcomeOf(replication.confirm('c'));
    const began = performance.now();
    expect(await redis.hget(keys.instance('c'), 'id')).toBe('c');
    expect(performance.now() - began).toBeLessThan(500);
    expect(await confirmed).toContain('store_unavailable');
    // By now the master itself refuses writes.
    expect(await outcomeOf(replication.confirm('c'))).toContain('store_unavailable');
  } finally {
    for (const { pid } of replicas) process.kill(pid, 'SIGCONT');
  }
  await waitFor('the replicas again', async () => {
    return (await outcomeOf(replication.confirm('c'))) === 'confirmed';
  });
});
