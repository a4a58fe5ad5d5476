import { randomUUID } from 'node:crypto';
import type { Capacity } from '@ephemera/domain';
import type { Addresses } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import { HOST_ALIVE_TIMEOUT_MS } from './limits.ts';
import { loadScript, runScript } from './run-script.ts';

/** A host and its last heartbeat. */
export interface HostStatus {
  readonly host: string;
  /** Last heartbeat, epoch milliseconds. */
  readonly seenAt: number;
  readonly alive: boolean;
}

/** The hosts that workers have registered, with their last heartbeats. */
export interface Hosts {
  /** Records that a worker of the host and its Docker daemon answer. */
  heartbeat(host: string, now: number): Promise<void>;
  /** Sets the capacity of a host; the last call wins. */
  setCapacity(host: string, capacity: Capacity): Promise<void>;
  /** Hosts whose last heartbeat is recent enough. */
  alive(now: number): Promise<string[]>;
  /** Every host that was ever registered. Its queues may still hold jobs. */
  all(): Promise<string[]>;
  /** Every host that was ever registered, with its last heartbeat. */
  hostStatuses(now: number): Promise<HostStatus[]>;
}

export function redisHosts(redis: Redis, keys: Keys): Hosts {
  return {
    async heartbeat(host, now) {
      await redis.zadd(keys.hosts, String(now), host);
    },
    async setCapacity(host, { instances, memory, cpus }) {
      const fields: Record<string, number> = {
        ...(instances !== undefined && { instances }),
        ...(memory !== undefined && { memory }),
        // In thousandths, so that sums are exact.
        ...(cpus !== undefined && { cpus: Math.round(cpus * 1000) }),
      };
      const change = redis.multi().del(keys.hostCapacity(host));
      if (Object.keys(fields).length > 0) change.hset(keys.hostCapacity(host), fields);
      await change.exec();
    },
    async alive(now) {
      return redis.zrange(keys.hosts, String(now - HOST_ALIVE_TIMEOUT_MS), '+inf', 'BYSCORE');
    },
    async all() {
      return redis.zrange(keys.hosts, '0', '-1');
    },
    async hostStatuses(now) {
      const flat = await redis.zrange(keys.hosts, '0', '-1', 'WITHSCORES');
      const statuses: HostStatus[] = [];
      for (let i = 0; i + 1 < flat.length; i += 2) {
        const seenAt = Number(flat[i + 1]);
        statuses.push({
          host: flat[i] ?? '',
          seenAt,
          alive: seenAt >= now - HOST_ALIVE_TIMEOUT_MS,
        });
      }
      return statuses;
    },
  };
}

const script = loadScript('next-address-index');

/**
 * Assigns a host's addresses in sequence, across all workers and restarts. Docker alone would reuse
 * the lowest free address at once; a stale route or a pooled socket would then reach another
 * instance. If Redis has lost the counter, the worker continues after the last index that it
 * received.
 */
export function redisAddresses(redis: Redis, keys: Keys, host: string): Addresses {
  let last = 0;
  return {
    async next() {
      const index = await runScript(redis, script, [keys.addresses(host)], [last]);
      last = Math.max(last, Number(index));
      return Number(index);
    },
  };
}

const RELEASE = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`;

/**
 * A Redis that is out of memory cannot store the lock. The repairs free memory, so all workers go
 * on.
 */
function unlessMemoryFull(error: unknown): 'OK' {
  if (error instanceof Error && error.message.startsWith('OOM')) return 'OK';
  throw error;
}

/**
 * Runs `work` unless another worker of the host holds the lock at `key`; then returns undefined.
 * The lock only saves work. Every repair may run twice at the same time.
 */
export async function withHostLock<T>(
  redis: Redis,
  key: string,
  ttl: number,
  work: () => Promise<T>,
): Promise<T | undefined> {
  const token = randomUUID();
  const taken = await redis.set(key, token, 'PX', ttl, 'NX').catch(unlessMemoryFull);
  if (taken !== 'OK') return undefined;
  try {
    return await work();
  } finally {
    await redis.eval(RELEASE, 1, key, token);
  }
}
