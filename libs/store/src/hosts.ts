import type { Capacity } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';

/** How long a host counts as alive after its last sign of life, milliseconds. */
const ALIVE = 15_000;

/** What a host was last heard of. */
export interface HostStatus {
  readonly host: string;
  /** Its last sign of life, epoch milliseconds. */
  readonly seenAt: number;
  readonly alive: boolean;
}

/** The hosts that workers have reported, with the time of their last sign of life. */
export interface Hosts {
  /** A worker says that it and its Docker daemon are well. */
  heartbeat(host: string, now: number): Promise<void>;
  /** A worker tells what its host holds at most; the last one's word stands. */
  setCapacity(host: string, capacity: Capacity): Promise<void>;
  /** Hosts that can take work now. */
  alive(now: number): Promise<string[]>;
  /** Every host ever seen: its queue may still hold jobs. */
  all(): Promise<string[]>;
  /** Every host ever seen, with its last sign of life. */
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
        // In thousandths, so that sums of them are exact.
        ...(cpus !== undefined && { cpus: Math.round(cpus * 1000) }),
      };
      const change = redis.multi().del(keys.hostCapacity(host));
      if (Object.keys(fields).length > 0) change.hset(keys.hostCapacity(host), fields);
      await change.exec();
    },
    async alive(now) {
      return redis.zrange(keys.hosts, String(now - ALIVE), '+inf', 'BYSCORE');
    },
    async all() {
      return redis.zrange(keys.hosts, '0', '-1');
    },
    async hostStatuses(now) {
      const flat = await redis.zrange(keys.hosts, '0', '-1', 'WITHSCORES');
      const signs: HostStatus[] = [];
      for (let i = 0; i + 1 < flat.length; i += 2) {
        const seenAt = Number(flat[i + 1]);
        signs.push({ host: flat[i] ?? '', seenAt, alive: seenAt >= now - ALIVE });
      }
      return signs;
    },
  };
}
