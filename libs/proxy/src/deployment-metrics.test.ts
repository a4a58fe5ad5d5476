import { createMetrics } from '@ephemera/process';
import { keysOf, readRedisMemory, redisHosts } from '@ephemera/store';
import { startRedis } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import {
  registerHostMetrics,
  registerRedisMemoryMetrics,
  registerUsageMetrics,
} from './deployment-metrics.ts';

const NOW = 1_900_000_000_000;

function scrape() {
  const registry = createMetrics('proxy');
  const lines = async (name: string) =>
    (await registry.metrics())
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`))
      .map((line) => line.replace(/(,?)app="proxy"/, ''));
  return { registry, lines };
}

test('hosts are shown with their state, their cordon and their capacity', async () => {
  const server = await startRedis();
  const redis = new Redis(server.url);
  onTestFinished(async () => {
    redis.disconnect();
    await server.stop();
  });
  const keys = keysOf('host-metrics');
  const hosts = redisHosts(redis, keys);
  await hosts.heartbeat('here', NOW);
  await hosts.setCapacity('here', { instances: 40, cpus: 1.5 });
  await redis.hset(keys.hostUsed('here'), { instances: 3, memory: 1024, cpus: 750 });
  await hosts.heartbeat('lost', NOW - 60_000);
  await hosts.cordon('lost');
  const { registry, lines } = scrape();
  registerHostMetrics(registry, async () => {
    const [statuses, cordons] = await Promise.all([hosts.hostStatuses(NOW), hosts.cordons()]);
    const capacities = await hosts.capacitiesOf(statuses.map(({ host }) => host));
    return statuses.map((status, i) => ({
      ...status,
      ...(capacities[i] ?? expect.unreachable()),
      isCordoned: cordons.has(status.host),
    }));
  });
  expect((await lines('ephemera_host_up')).sort()).toEqual([
    'ephemera_host_up{host="here"} 1',
    'ephemera_host_up{host="lost"} 0',
  ]);
  expect((await lines('ephemera_host_cordoned')).sort()).toEqual([
    'ephemera_host_cordoned{host="here"} 0',
    'ephemera_host_cordoned{host="lost"} 1',
  ]);
  expect(await lines('ephemera_host_capacity')).toEqual([
    'ephemera_host_capacity{host="here",resource="instances"} 40',
    'ephemera_host_capacity{host="here",resource="cpus"} 1.5',
  ]);
  expect(await lines('ephemera_host_used')).toContain(
    'ephemera_host_used{host="here",resource="cpus"} 0.75',
  );
});

test('the first scrape has all values of one read, and a removed template none', async () => {
  const { registry, lines } = scrape();
  let reads = 0;
  let usages = [{ template: 'notes', instances: 4, queued: 3, warm: 2, wanted: 1 }];
  registerUsageMetrics(registry, () => {
    reads++;
    return Promise.resolve(usages);
  });
  const text = await registry.metrics();
  for (const [name, value] of [
    ['ephemera_template_instances', 4],
    ['ephemera_template_queued_instances', 3],
    ['ephemera_pool_warm_instances', 2],
    ['ephemera_pool_wanted_instances', 1],
  ] as const) {
    expect(text).toContain(`${name}{template="notes",app="proxy"} ${value}`);
  }
  expect(reads).toBe(1);
  usages = [];
  expect(await lines('ephemera_pool_wanted_instances')).toEqual([]);
});

test('a scrape succeeds while Redis is unavailable, with the last values', async () => {
  const server = await startRedis();
  // Its commands wait for a connection.
  const redis = new Redis(server.url, { maxRetriesPerRequest: null });
  redis.on('error', () => undefined);
  onTestFinished(() => redis.disconnect());
  const { registry, lines } = scrape();
  registerRedisMemoryMetrics(registry, () => readRedisMemory(redis));
  const before = await lines('ephemera_redis_memory_limit_bytes');
  expect(before).toEqual([expect.stringMatching(/\{\} [1-9]\d+$/)]);
  await server.stop();
  expect(await lines('ephemera_redis_memory_limit_bytes')).toEqual(before);
});
