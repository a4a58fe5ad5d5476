import type {
  Addresses,
  Intake,
  Leases,
  StartQueue,
  Pools,
  Progress,
  Suspensions,
} from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import { redisHosts } from './hosts.ts';
import type { Hosts } from './hosts.ts';
import { redisLogArchive } from './log-archive.ts';
import type { LogArchive } from './log-archive.ts';
import type { Keys } from './keys.ts';
import { redisAddresses } from './redis-addresses.ts';
import { redisInstances } from './redis-instances.ts';
import type { InstanceStore } from './redis-instances.ts';
import { redisIntake, redisStartQueue } from './redis-intake.ts';
import { redisLeases } from './redis-leases.ts';
import { redisPools } from './redis-pools.ts';
import { redisProgress } from './redis-progress.ts';
import { redisRates } from './redis-rates.ts';
import type { Rates } from './redis-rates.ts';
import { redisSuspensions } from './redis-suspensions.ts';

/** Every port that Redis implements, over one connection. */
export interface Store {
  readonly instances: InstanceStore;
  readonly intake: Intake;
  readonly startQueue: StartQueue;
  readonly leases: Leases;
  readonly pools: Pools;
  readonly hosts: Hosts;
  readonly rates: Rates;
  readonly suspensions: Suspensions;
  readonly progress: Progress;
  readonly logArchive: LogArchive;
  /** The addresses of one host's networks. */
  addresses(host: string): Addresses;
}

/** @param tombstone how long the record of a dead instance is kept, milliseconds */
export function createStore(redis: Redis, keys: Keys, tombstone: number): Store {
  return {
    instances: redisInstances(redis, keys, tombstone),
    intake: redisIntake(redis, keys),
    startQueue: redisStartQueue(redis, keys),
    leases: redisLeases(redis, keys),
    pools: redisPools(redis, keys),
    hosts: redisHosts(redis, keys),
    rates: redisRates(redis, keys),
    suspensions: redisSuspensions(redis, keys),
    progress: redisProgress(redis, keys),
    logArchive: redisLogArchive(redis, keys, tombstone),
    addresses: (host) => redisAddresses(redis, keys, host),
  };
}
