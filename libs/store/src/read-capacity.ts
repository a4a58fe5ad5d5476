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

/** Reads the capacity of all hosts that are alive and not cordoned, with a few commands per host. */
export async function readCapacity(
  redis: Redis,
  keys: Keys,
  now: number,
): Promise<CapacitySnapshot> {
  const store = redisHosts(redis, keys);
  const [alive, cordons] = await Promise.all([store.alive(now), store.cordons()]);
  const hosts = alive.filter((host) => !cordons.has(host));
  const instances = await redis.zcard(keys.instances);
  let [available, capacity]: [number | undefined, number | undefined] = [0, 0];
  for (const host of hosts) {
    const max = await redis.hget(keys.hostCapacity(host), 'instances');
    if (max === null) return { instances, available: undefined, capacity: undefined };
    const used = Number((await redis.hget(keys.hostUsed(host), 'instances')) ?? 0);
    capacity += Number(max);
    available += Math.max(0, Number(max) - used);
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

/** How many instances one script counts. Redis is blocked for about a millisecond meanwhile. */
const BATCH = 1_000;

/** Counts the live instances in each state. */
export async function countStates(
  redis: Redis,
  keys: Keys,
): Promise<Partial<Record<State, number>>> {
  const counts: Partial<Record<State, number>> = {};
  const ids = await redis.zrange(keys.instances, '0', '-1');
  for (let i = 0; i < ids.length; i += BATCH) {
    const batch = ids.slice(i, i + BATCH).map((id) => keys.instance(id));
    const flat = (await runScript(redis, script, batch, [])) as (State | number)[];
    for (let j = 0; j + 1 < flat.length; j += 2) {
      const state = flat[j] as State;
      counts[state] = (counts[state] ?? 0) + Number(flat[j + 1]);
    }
  }
  return counts;
}
