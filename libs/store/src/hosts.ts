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

/** A host that starts no further instances. Times are epoch milliseconds. */
export interface Cordon {
  readonly since: number;
  /** Present while the host is being drained. */
  readonly drain?: Drain;
}

export interface Drain {
  /** When the instances that are left are ended. Absent: each keeps its own deadline. */
  readonly deadline?: number;
  /**
   * Whether a worker of the host has found that no container is left. Redis alone cannot tell: it may
   * have lost instances that still run.
   */
  readonly isEmpty: boolean;
}

/** What a host offers and what is reserved. Absent: no limit is registered. */
export interface HostCapacity {
  readonly max: Capacity;
  readonly used: Required<Capacity>;
  /** Live instances that a worker of the host has started. */
  readonly instances: number;
}

/** The hosts that workers have registered, with their last heartbeats. */
export interface Hosts {
  /** Records that a worker of the host and its Docker daemon answer. */
  heartbeat(host: string, now: number): Promise<void>;
  /** Sets the capacity of a host; the last call wins. Repairs the index of hosts by free capacity. */
  setCapacity(host: string, capacity: Capacity): Promise<void>;
  /** Hosts whose last heartbeat is recent enough. */
  alive(now: number): Promise<string[]>;
  /** Every host that was ever registered. Its queues may still hold jobs. */
  all(): Promise<string[]>;
  /** Every host that was ever registered, with its last heartbeat. */
  hostStatuses(now: number): Promise<HostStatus[]>;
  /** The capacities of hosts, in the order of `hosts`. */
  capacitiesOf(hosts: readonly string[]): Promise<HostCapacity[]>;
  /** Every cordon, by host. */
  cordons(): Promise<ReadonlyMap<string, Cordon>>;
  cordonOf(host: string): Promise<Cordon | undefined>;
  /**
   * Cordons a host. A drain of it ends. The time of the first cordon is kept. False: no such host was
   * ever registered.
   */
  cordon(host: string): Promise<boolean>;
  /**
   * Cordons a host and starts its drain. Without a deadline, a drain that runs keeps its own. False: as
   * `cordon`.
   */
  drain(host: string, deadline: number | undefined): Promise<boolean>;
  /** Reports for a host that is being drained whether a container is left on it. */
  reportEmpty(host: string, isEmpty: boolean): Promise<void>;
  /** Removes the cordon of a host, and ends its drain. Idempotent. */
  uncordon(host: string): Promise<void>;
}

const scripts = {
  cordon: loadScript('cordon'),
  heartbeat: loadScript('heartbeat'),
  setCapacity: loadScript('set-capacity'),
};

export function redisHosts(redis: Redis, keys: Keys): Hosts {
  const cordonOf = async (host: string): Promise<Cordon | undefined> => {
    const text = await redis.hget(keys.cordons, host);
    return text === null ? undefined : (JSON.parse(text) as Cordon);
  };
  const change = async (host: string, to: string, deadline: number | '' = '') => {
    const args = [host, to, deadline];
    return (await runScript(redis, scripts.cordon, [keys.cordons, keys.hosts], args)) === 1;
  };
  return {
    async heartbeat(host, now) {
      await runScript(redis, scripts.heartbeat, [keys.hosts], [host, now]);
    },
    async setCapacity(host, { instances, memory, cpus }) {
      // In thousandths, so that sums are exact.
      const thousandths = cpus === undefined ? '' : Math.round(cpus * 1000);
      const args = [host, instances ?? '', memory ?? '', thousandths];
      await runScript(redis, scripts.setCapacity, [keys.hostCapacity(host)], args);
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
    async capacitiesOf(names) {
      if (names.length === 0) return [];
      const read = redis.pipeline();
      for (const host of names) {
        read.hgetall(keys.hostCapacity(host)).hgetall(keys.hostUsed(host));
        read.hlen(keys.hostInstances(host));
      }
      const replies = (await read.exec()) ?? [];
      const failed = replies.find(([error]) => error !== null)?.[0];
      if (failed) throw failed;
      return names.map((_, i) => {
        const [max, used, instances] = replies.slice(3 * i, 3 * i + 3).map(([, reply]) => reply);
        return {
          max: capacityIn(max as Fields),
          used: { instances: 0, memory: 0, cpus: 0, ...capacityIn(used as Fields) },
          instances: Number(instances),
        };
      });
    },
    async cordons() {
      const texts = await redis.hgetall(keys.cordons);
      return new Map(
        Object.entries(texts).map(([host, text]) => [host, JSON.parse(text) as Cordon]),
      );
    },
    cordonOf,
    cordon: (host) => change(host, 'cordon'),
    drain: (host, deadline) => change(host, 'drain', deadline ?? ''),
    async reportEmpty(host, isEmpty) {
      await change(host, isEmpty ? 'empty' : 'occupied');
    },
    async uncordon(host) {
      await change(host, 'uncordon');
    },
  };
}

type Fields = Readonly<Record<string, string>>;

/** Parses the fields that `setCapacity` and the scripts write. */
function capacityIn({ instances, memory, cpus }: Fields): Capacity {
  return {
    ...(instances !== undefined && { instances: Number(instances) }),
    ...(memory !== undefined && { memory: Number(memory) }),
    ...(cpus !== undefined && { cpus: Number(cpus) / 1000 }),
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
