import type { RedisAddress } from '@ephemera/domain';
import { startSentinel, waitFor } from '@ephemera/test-support';
import type { DataNode, StartedSentinel } from '@ephemera/test-support';
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { connectRedis, connectTracking } from './connect-redis.ts';

// Connections of every profile, and a duplicate as BullMQ creates it, follow the master.

let set: StartedSentinel;
let master: DataNode;
beforeEach(async () => {
  set = await startSentinel();
  master = await set.master();
});
afterEach(() => set.stop());

const portOf = (redis: Redis) => (redis.status === 'ready' ? redis.stream.remotePort : undefined);

async function connectAll(
  address: RedisAddress = { url: set.url },
): Promise<Record<string, Redis>> {
  const ignore = () => undefined;
  const job = connectRedis(address, 'job', ignore);
  const connections = {
    job,
    duplicate: job.duplicate(),
    request: connectRedis(address, 'request', ignore),
    watch: connectRedis(address, 'watch', ignore),
    tracking: connectTracking(address, ignore),
  };
  connections.duplicate.on('error', ignore);
  connections.tracking.connect().catch(ignore);
  onTestFinished(() => {
    for (const redis of Object.values(connections)) redis.disconnect();
  });
  await waitFor('connections to the master', () =>
    Object.values(connections).every((redis) => portOf(redis) === master.port),
  );
  return connections;
}

/** Waits until the sentinels have elected another master and every connection goes to it. */
async function followed(connections: Record<string, Redis>): Promise<DataNode> {
  const next = await waitFor('another master', async () => {
    const found = await set.master();
    return found.port !== master.port && found;
  });
  for (const [name, redis] of Object.entries(connections)) {
    await waitFor(`${name} to follow`, () => portOf(redis) === next.port, 12_000);
  }
  return next;
}

test('a planned failover', async () => {
  const connections = await connectAll();
  await set.failover();
  const next = await followed(connections);
  await waitFor('a write', () => connections['request']?.set('x', '1'));
  expect(await set.command(next, 'GET', 'x')).toBe('1');
});

test('the master is killed', async () => {
  const connections = await connectAll();
  process.kill(master.pid, 'SIGKILL');
  await followed(connections);
});

// A frozen process stands for a machine that is cut off: its connections stay open, and it answers
// nothing.
test('the master is frozen', async () => {
  const connections = await connectAll();
  process.kill(master.pid, 'SIGSTOP');
  await followed(connections);
});

// The sentinels and the replicas can no longer log in to the master, so they elect another one. The
// connections that are open here could read from the old master until it is repaired.
test('the master is cut off from the sentinels, but still answers', async () => {
  const connections = await connectAll();
  const { watch, ...others } = connections;
  await watch?.client('SETNAME', 'kept');
  await watch?.config('SET', 'requirepass', 'changed');
  const list = String(await watch?.client('LIST'));
  const kept = new Set(
    [watch, ...Object.values(others)].map((redis) => String(redis?.stream.localPort)),
  );
  for (const line of list.split('\n')) {
    const [, id, port] = /^id=(\d+) addr=\S+:(\d+) /.exec(line) ?? [];
    if (id === undefined || kept.has(port ?? '')) continue;
    await watch?.client('KILL', 'ID', id).catch(() => undefined);
  }
  const next = await followed(connections);
  expect(next.port).not.toBe(master.port);
});

test('a failover before the first connect is no error', async () => {
  const errors: Error[] = [];
  const note = (error: Error) => errors.push(error);
  process.on('uncaughtExceptionMonitor', note);
  onTestFinished(() => void process.off('uncaughtExceptionMonitor', note));
  const address = { url: set.url };
  const ignore = () => undefined;
  const tracking = connectTracking(address, ignore);
  const job = connectRedis(address, 'job', ignore);
  onTestFinished(() => {
    for (const redis of [tracking, job]) redis.disconnect();
  });
  await waitFor('the connection', () => portOf(job) === master.port);
  await waitForSubscriptions();
  await set.failover();
  await followed({ job });
  await tracking.connect();
  await followed({ tracking });
  expect(errors).toEqual([]);
});

// Another deployment stands for the side of a sentinel that is cut off together with the old master:
// both answer, and the sentinel knows no newer epoch.
test('a connection that a sentinel leads to an old master leaves it', async () => {
  const old = await startSentinel({ replicas: 1, sentinels: 1 });
  onTestFinished(() => old.stop());
  await set.failover();
  master = await waitFor('another master', async () => {
    const found = await set.master();
    return found.port !== master.port && found;
  });
  // No later message of the failover may lead the connections.
  for (const sentinel of set.sentinels) {
    await waitFor('the sentinel to know it', async () => {
      const found = await set.command(sentinel, 'SENTINEL', 'MASTER', set.name);
      return (found as string[]).includes(String(master.port));
    });
  }
  const [oldSentinel] = old.url.split('/main/');
  const address = { url: set.url.replace('redis-sentinel://', `${oldSentinel},`) };
  const job = connectRedis(address, 'job', () => undefined);
  onTestFinished(() => job.disconnect());
  await waitForSubscriptions([...old.sentinels, ...set.sentinels]);
  await waitFor('the first connection', () => portOf(job) === master.port);
  const connections = await connectAll(address);
  for (const redis of Object.values(connections)) redis.disconnect(true);
  for (const [name, redis] of Object.entries(connections)) {
    await waitFor(`${name} to return`, () => portOf(redis) === master.port);
  }
});

/** Waits until this process has subscribed to every sentinel. */
async function waitForSubscriptions(sentinels = set.sentinels): Promise<void> {
  for (const sentinel of sentinels) {
    await waitFor('the subscription', async () =>
      String(await set.command(sentinel, 'CLIENT', 'LIST')).includes(' sub=1 '),
    );
  }
}
