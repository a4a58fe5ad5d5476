import type { Template, State } from '@ephemera/domain';
import { poolSpecFor } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import { redisHosts } from './hosts.ts';
import type { Keys } from './keys.ts';
import { redisPools } from './redis-pools.ts';
import { loadScript, runScript } from './run-script.ts';

/** How many instances exist, and how many the hosts can hold. */
export interface CapacitySnapshot {
  readonly instances: number;
  /** Free instance slots of these hosts; undefined: one of them has no instance limit. */
  readonly available: number | undefined;
  readonly capacity: number | undefined;
}

/** How many instances of one template exist. */
export interface TemplateUsage {
  /** Live instances, without queued ones. */
  readonly instances: number;
  readonly queued: number;
  /** Desired number of warm instances at present. */
  readonly wanted: number;
  /** Warm instances that can be claimed. */
  readonly warm: number;
}

/** Reads the capacity of all hosts that are alive and not cordoned: two commands per host, in one pipeline. */
export async function readCapacity(
  redis: Redis,
  keys: Keys,
  now: number,
): Promise<CapacitySnapshot> {
  const store = redisHosts(redis, keys);
  const [alive, cordons] = await Promise.all([store.alive(now), store.cordons()]);
  const hosts = alive.filter((host) => !cordons.has(host));
  const instances = await redis.zcard(keys.instances);
  const read = redis.pipeline();
  for (const host of hosts) {
    read.hget(keys.hostCapacity(host), 'instances').hget(keys.hostUsed(host), 'instances');
  }
  const replies = ((await read.exec()) ?? []).map(([error, reply]) => {
    if (error) throw error;
    return reply as string | null;
  });
  let [available, capacity] = [0, 0];
  for (let i = 0; i < replies.length; i += 2) {
    const [max, used] = [replies[i] ?? null, replies[i + 1] ?? 0];
    if (max === null) return { instances, available: undefined, capacity: undefined };
    capacity += Number(max);
    available += Math.max(0, Number(max) - Number(used));
  }
  return { instances, available, capacity };
}

export async function readTemplateUsage(
  redis: Redis,
  keys: Keys,
  template: Template,
  urlPattern: string,
): Promise<TemplateUsage> {
  const { name } = template;
  const spec = poolSpecFor(template, urlPattern);
  const [instances, queued, wanted, warm] = await Promise.all([
    redis.scard(keys.templateInstances(name)),
    redis.zcard(keys.templateQueue(name)),
    redisPools(redis, keys).desiredCount(template),
    spec ? redis.zcard(keys.warm(spec.fingerprint)) : 0,
  ]);
  return { instances, queued, wanted, warm };
}

const script = loadScript('count-states');

/** The lists of how many hosts one script reads. Redis is blocked for a few milliseconds meanwhile. */
const BATCH = 10;

/**
 * Counts the live instances in each state, from the lists of the hosts. Instances without a host count as
 * pending. The reads are not atomic.
 */
export async function countStates(
  redis: Redis,
  keys: Keys,
): Promise<Partial<Record<State, number>>> {
  const counts: Partial<Record<State, number>> = {};
  const [hosts, total] = await Promise.all([
    redis.zrange(keys.hosts, '0', '-1'),
    redis.zcard(keys.instances),
  ]);
  let onHosts = 0;
  for (let i = 0; i < hosts.length; i += BATCH) {
    const batch = hosts.slice(i, i + BATCH).map((host) => keys.hostInstances(host));
    const flat = (await runScript(redis, script, batch, [])) as (State | number)[];
    for (let j = 0; j + 1 < flat.length; j += 2) {
      const [state, count] = [flat[j] as State, Number(flat[j + 1])];
      counts[state] = (counts[state] ?? 0) + count;
      onHosts += count;
    }
  }
  if (total > onHosts) counts.pending = (counts.pending ?? 0) + total - onHosts;
  return counts;
}
