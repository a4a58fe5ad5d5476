import { Queue } from 'bullmq';
import type { Instance, Route } from '@ephemera/domain';
import { SPAWN_QUEUE, killQueue } from '@ephemera/queue';
import { FIRST, type Keys, readEvents, redisInstances } from '@ephemera/store';
import { type Deployment, TOKEN } from '@ephemera/test-support';
import type { Redis } from 'ioredis';
import type { Daemon } from '../load/daemon.ts';
import type { Expectations } from '../load/expectations.ts';
import type { OpenJob, Snapshot } from './snapshot.ts';

export interface SnapshotPorts {
  readonly site: Deployment;
  readonly redis: Redis;
  readonly keys: Keys;
  readonly daemon: Daemon;
  readonly expectations: Expectations;
  readonly ends: ReadonlyMap<string, readonly number[]>;
  readonly deliveries: ReadonlyMap<string, number>;
}

/** Names of the sets, sorted sets and hashes of ids, without the key prefix. */
const ID_SETS =
  /^(instances|pending|expiring|host:[^:]+:instances|template:[^:]+:(instances|queue)|pool:[0-9a-f]+(:warm)?|owner:.+)$/;

/** Exceeds the number of events that the store keeps. */
const ALL_EVENTS = 100_000;

/** Reads the state of a deployment. The reads are not atomic. */
export async function readSnapshot(ports: SnapshotPorts): Promise<Snapshot> {
  const { site, redis, keys, daemon, expectations, ends, deliveries } = ports;
  const base = `${keys.queuePrefix}:`;
  const all = await scan(redis, `${base}*`);
  const store = redisInstances(redis, keys);
  const hosts = await redis.zrange(keys.hosts, '0', '-1');
  const [seconds = 0, micros = 0] = await redis.time();
  const named = (prefix: string) =>
    all
      .filter((key) => key.startsWith(base + prefix))
      .map((key) => key.slice((base + prefix).length));

  const instances = new Map<string, Instance>();
  const routes = new Map<string, Route>();
  await Promise.all([
    ...named('instance:').map(async (id) => {
      const instance = await store.get(id);
      if (instance) instances.set(id, instance);
    }),
    ...named('route:').map(async (id) => {
      const route = await redis.get(keys.route(id));
      if (route !== null) routes.set(id, JSON.parse(route) as Route);
    }),
  ]);
  const life = redis.pipeline();
  for (const key of all) life.pttl(key);
  const lives = ((await life.exec()) ?? []).map(([, ms]) => Number(ms));
  const sets = new Map<string, string[]>();
  for (const name of named('').filter((text) => ID_SETS.test(text))) {
    sets.set(name, await members(redis, base + name));
  }
  const used = new Map<string, Record<string, string>>();
  for (const host of hosts) used.set(host, await redis.hgetall(keys.hostUsed(host)));

  const queues = [SPAWN_QUEUE, ...hosts.map(killQueue)].map(
    (name) => new Queue(name, { connection: redis, prefix: keys.queuePrefix }),
  );
  try {
    const [spawning, ...killing] = await Promise.all(queues.map(openJobs));
    const failed = await Promise.all(
      queues.map(async (queue) =>
        (await queue.getFailed()).map((job) => `${queue.name} ${job.id}: ${job.failedReason}`),
      ),
    );
    return {
      now: seconds * 1000 + Math.floor(micros / 1000),
      namespace: site.namespace,
      containers: await daemon.containers(),
      networks: await daemon.networks(),
      instances,
      routes,
      killJobs: killing.flat(),
      spawnJobs: spawning ?? [],
      failedJobs: failed.flat(),
      events: (await readEvents(redis, keys, FIRST, ALL_EVENTS)).events,
      keys: new Map(all.map((key, i) => [key.slice(base.length), lives[i] ?? -2])),
      sets,
      used,
      expectations,
      ends,
      deliveries,
      metrics: await readMetrics(site),
    };
  } finally {
    await Promise.all(queues.map((queue) => queue.close()));
  }
}

async function scan(redis: Redis, match: string): Promise<string[]> {
  const found = new Set<string>();
  let cursor = '0';
  do {
    const [next, some] = await redis.scan(cursor, 'MATCH', match, 'COUNT', 1000);
    for (const key of some) found.add(key);
    cursor = next;
  } while (cursor !== '0');
  return [...found];
}

async function members(redis: Redis, key: string): Promise<string[]> {
  const type = await redis.type(key);
  if (type === 'set') return redis.smembers(key);
  if (type === 'hash') return redis.hkeys(key);
  return type === 'zset' ? redis.zrange(key, '0', '-1') : [];
}

async function openJobs(queue: Queue): Promise<OpenJob[]> {
  const jobs = await queue.getJobs(['delayed', 'waiting', 'active', 'prioritized']);
  // A job that finished between the two reads has no data.
  return jobs.flatMap((job: { data?: OpenJob } | undefined) => (job?.data ? [job.data] : []));
}

async function readMetrics(site: Deployment): Promise<{ app: string; text: string }[]> {
  const running = [...site.workers, ...site.proxies].filter(
    ({ child }) => child.exitCode === null && child.signalCode === null,
  );
  return Promise.all(
    running.map(async ({ name, port, child }) => {
      // A proxy requires its token for metrics. A worker requires none and ignores the header.
      const headers = { authorization: `Bearer ${TOKEN}` };
      const answer = await fetch(`http://127.0.0.1:${port}/metrics`, { headers });
      if (!answer.ok) throw new Error(`${name} answered the metrics request with ${answer.status}`);
      return { app: `${name} ${child.pid}`, text: await answer.text() };
    }),
  );
}
