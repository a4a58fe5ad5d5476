import type { Instance, State, Template } from '@ephemera/domain';
import type {
  Addresses,
  Intake,
  Leases,
  StartQueue,
  StartSigner,
  Pools,
  Progress,
  Suspensions,
} from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import { countStates, readCapacity, readTemplateUsage } from './read-capacity.ts';
import type { CapacitySnapshot, TemplateUsage } from './read-capacity.ts';
import { emitExpiringEvents, readEventLogState, recordUse } from './event-log.ts';
import type { EventLogState } from './event-log.ts';
import { redisDatasets } from './datasets.ts';
import type { Datasets } from './datasets.ts';
import { withHostLock, redisHosts, redisAddresses } from './hosts.ts';
import type { Hosts } from './hosts.ts';
import { redisHostAddresses } from './host-addresses.ts';
import type { HostAddresses } from './host-addresses.ts';
import { redisHostRegistry } from './host-registry.ts';
import type { HostRegistry } from './host-registry.ts';
import { type InstanceWarnings, redisInstanceWarnings } from './instance-warnings.ts';
import { redisLogArchive } from './log-archive.ts';
import type { LogArchive } from './log-archive.ts';
import type { Keys } from './keys.ts';
import { redisInstances, redisProgress } from './redis-instances.ts';
import type { InstanceStore } from './redis-instances.ts';
import { redisIntake, redisStartQueue } from './redis-intake.ts';
import { redisLeases, redisSuspensions } from './redis-leases.ts';
import { redisNames } from './redis-names.ts';
import type { Names } from './redis-names.ts';
import { redisPools } from './redis-pools.ts';
import type { Replication } from './replication.ts';
import { redisRates } from './redis-rates.ts';
import type { Rates } from './redis-rates.ts';
import { takeTurn } from './turns.ts';
import type { SharedTask } from './turns.ts';

/** Every port that Redis implements over one shared connection. Blocking readers need their own. */
export interface Store {
  readonly instances: InstanceStore;
  readonly intake: Intake;
  readonly startQueue: StartQueue;
  readonly leases: Leases;
  readonly names: Names;
  readonly pools: Pools;
  readonly hosts: Hosts;
  readonly rates: Rates;
  readonly suspensions: Suspensions;
  readonly progress: Progress;
  readonly logArchive: LogArchive;
  readonly warnings: InstanceWarnings;
  readonly hostRegistry: HostRegistry;
  readonly hostAddresses: HostAddresses;
  readonly datasets: Datasets;
  /** The address sequence of one host. */
  addresses(host: string): Addresses;
  /**
   * Emits the `expiring` events that are due by the store's clock; returns how many.
   * @param now that clock, as far as the caller knows it
   */
  emitExpiringEvents(now: number): Promise<number>;
  /**
   * Emits the event of a command that is about to run, or of a change of files. Both count as use.
   * False: the instance is not ready under this generation, so nothing may be done.
   */
  recordUse(
    instance: Pick<Instance, 'id' | 'generation'>,
    type: 'exec' | 'files',
  ): Promise<boolean>;
  /** See `turns.ts`. */
  takeTurn(task: SharedTask, ms: number): Promise<boolean>;
  readEventLogState(): Promise<EventLogState>;
  /** What the hosts hold now; a few commands per host. */
  readCapacity(): Promise<CapacitySnapshot>;
  readTemplateUsage(template: Template, urlPattern: string): Promise<TemplateUsage>;
  /** How many live instances are in each state. */
  countStates(): Promise<Partial<Record<State, number>>>;
  /**
   * Runs a reconciliation unless another worker of the host runs one, for at most `ttl` ms. The lock
   * only saves work: two reconciliations at once do no harm.
   * @returns undefined where another worker holds the lock
   */
  withReconcilerLock<T>(host: string, ttl: number, work: () => Promise<T>): Promise<T | undefined>;
}

export interface StoreOptions {
  /** Signs what the store hands to workers. */
  readonly signer: StartSigner;
  /** Called with the template of each pool in Redis that no key has signed. */
  readonly onRefusedPool?: (template: string) => void;
  /** Confirms creations. Absent: Redis has no replicas. */
  readonly replication?: Replication | undefined;
}

/** @param tombstone how long the record of a dead instance is kept, ms */
export function createStore(
  redis: Redis,
  keys: Keys,
  tombstone: number,
  { signer, onRefusedPool, replication }: Partial<StoreOptions> = {},
): Store {
  const instances = redisInstances(redis, keys, tombstone, signer);
  return {
    instances,
    intake: redisIntake(redis, keys, signer, replication),
    startQueue: redisStartQueue(redis, keys),
    leases: redisLeases(redis, keys),
    names: redisNames(redis, keys),
    pools: redisPools(redis, keys, signer, onRefusedPool),
    hosts: redisHosts(redis, keys),
    rates: redisRates(redis, keys),
    suspensions: redisSuspensions(redis, keys),
    progress: redisProgress(redis, keys),
    logArchive: redisLogArchive(redis, keys, tombstone),
    warnings: redisInstanceWarnings(redis, keys),
    hostRegistry: redisHostRegistry(redis, keys),
    hostAddresses: redisHostAddresses(redis, keys),
    datasets: redisDatasets(redis, keys),
    addresses: (host) => redisAddresses(redis, keys, host),
    emitExpiringEvents: (now) => emitExpiringEvents(redis, keys, now),
    recordUse: (instance, type) => recordUse(redis, keys, instance, type),
    takeTurn: (task, ms) => takeTurn(redis, keys, task, ms),
    readEventLogState: () => readEventLogState(redis, keys),
    readCapacity: async () => readCapacity(redis, keys, await instances.now()),
    readTemplateUsage: (template, urlPattern) =>
      readTemplateUsage(redis, keys, template, urlPattern),
    countStates: () => countStates(redis, keys),
    withReconcilerLock: (host, ttl, work) => withHostLock(redis, keys.reconciler(host), ttl, work),
  };
}
