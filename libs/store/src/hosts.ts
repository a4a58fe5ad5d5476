import type { Capacity } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import { HOST_ALIVE_TIMEOUT_MS } from './limits.ts';

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
