import { DEFAULT_CELL, cellOf, isSentinelUrl } from '@ephemera/domain';
import type { RedisAddress } from '@ephemera/domain';
import type {
  HostRpc,
  HostSigner,
  KillJobs,
  KillRequests,
  Leases,
  StartSigner,
} from '@ephemera/lifecycle';
import { currentTraceparent, distinctErrors, logClockSkew } from '@ephemera/process';
import type { Logger, Shutdown } from '@ephemera/process';
import { createProducers, createRefills } from '@ephemera/queue';
import {
  EventFeed,
  RedisHostRpc,
  RouteCache,
  connectRedis,
  connectTracking,
  createStore,
  keysOf,
  redisReplication,
  requireRedis,
  sentinelReplicas,
  trackRoutes,
  watchClock,
} from '@ephemera/store';
import type {
  InstanceStore,
  InstanceWarnings,
  LogArchive,
  RouteCacheOptions,
} from '@ephemera/store';

import { createHostConnections } from './host-connection/host-connections.ts';
import type { HostConnections } from './host-connection/host-connections.ts';
import { connectedHostRpc } from './host-connection/host-rpc.ts';

// A deployment is divided into cells: each has its own namespace, Redis and hosts. The first
// character of an id is the letter of its cell.

/** Settings of the connections to a cell; durations in milliseconds. */
export interface CellConfig {
  readonly redis: RedisAddress;
  readonly namespace: string;
  readonly redisGrace: number;
  readonly routes: number;
  readonly tombstone: number;
}

/** The components of a cell. Tests wrap or replace single ones. */
export interface CellDependencies {
  readonly createStore: typeof createStore;
  readonly createProducers: typeof createProducers;
  readonly createRefills: typeof createRefills;
  readonly createRoutes: (options: RouteCacheOptions) => RouteCache;
}

export const cellDependencies: CellDependencies = {
  createStore,
  createProducers,
  createRefills,
  createRoutes: (options) => new RouteCache(options),
};

export type Cell = Awaited<ReturnType<typeof connectCell>>;

/**
 * Connects to the Redis of a cell. The connections close at shutdown.
 * @throws BootError if Redis cannot be used
 */
export async function connectCell(
  config: CellConfig,
  dependencies: CellDependencies,
  {
    logger,
    shutdown,
    signer,
  }: {
    readonly logger: Logger;
    readonly shutdown: Shutdown;
    readonly signer: StartSigner & HostSigner;
  },
) {
  const keys = keysOf(config.namespace);
  const onError = (error: Error) =>
    logger.warn({ err: error }, 'Redis connection error; reconnecting');
  const logFailure = (message: string) =>
    distinctErrors((error) => logger.error({ err: error }, message));
  const redis = connectRedis(config.redis, 'request', onError);
  shutdown.onShutdown('redis', () => redis.disconnect());
  await requireRedis(redis, config.redis);

  const routes = dependencies.createRoutes({
    redis,
    trackingRedis: () => connectTracking(config.redis, onError),
    trackRoutes,
    onError: logFailure('changes of routes cannot be followed; trying again'),
    keys,
    grace: config.redisGrace,
    capacity: config.routes,
  });
  await routes.start();
  shutdown.onShutdown('routes', () => routes.stop());

  const replication = connectReplication(config, keys, { onError, shutdown });
  const store = dependencies.createStore(redis, keys, config.tombstone, { signer, replication });
  const clock = watchClock({
    redis,
    onSkew: (skewMs, isSkewed) => logClockSkew(logger, skewMs, isSkewed),
    onError: logFailure('the Redis clock cannot be read; trying again'),
  });
  shutdown.onShutdown('clock', () => clock.stop());
  const jobs = dependencies.createProducers(redis, keys.queuePrefix, clock.now, currentTraceparent);
  shutdown.onShutdown('queues', () => jobs.close());
  const events = new EventFeed({
    redis,
    blocking: connectRedis(config.redis, 'watch', onError),
    keys,
    onError: logFailure('events cannot be followed; trying again'),
  });
  events.start();
  shutdown.onShutdown('events', () => events.stop());
  const redisHostRpc = new RedisHostRpc({
    redis,
    subscriber: connectRedis(config.redis, 'job', onError),
    keys,
  });
  await redisHostRpc.start();
  shutdown.onShutdown('host rpc', () => redisHostRpc.stop());
  const hostConnections = createHostConnections({
    signer,
    addressesOf: (host) => store.hostAddresses.of(host, clock.now()),
    now: () => clock.now(),
  });
  shutdown.onShutdown('host connections', () => hostConnections.close());
  const hostRpc = connectedHostRpc(hostConnections, redisHostRpc, logger);
  const refills = dependencies.createRefills(redis, keys.queuePrefix, clock.now);
  shutdown.onShutdown('pool queue', () => refills.close());

  const { spawns, killJobs, killRequests } = jobs;
  return {
    ...{ redis, keys, routes, store, clock, events, hostRpc, hostConnections },
    ...{ spawns, killJobs, killRequests, refills },
  };
}

/** Under Sentinel, the replicas confirm a creation, over a connection that waits for them. */
function connectReplication(
  { redis: address }: CellConfig,
  keys: ReturnType<typeof keysOf>,
  { onError, shutdown }: { readonly onError: (error: Error) => void; readonly shutdown: Shutdown },
) {
  if (!isSentinelUrl(address.url)) return undefined;
  const redis = connectRedis(address, 'request', onError);
  const replicas = sentinelReplicas(address);
  shutdown.onShutdown('replication', () => {
    replicas.close();
    redis.disconnect();
  });
  return redisReplication(redis, keys, replicas);
}

/** The calls of a cell that act on one id. */
export interface IdPorts {
  readonly routes: Pick<
    RouteCache,
    | 'peek'
    | 'find'
    | 'confirm'
    | 'waitFor'
    | 'isRegistered'
    | 'onDrop'
    | 'peekName'
    | 'findName'
    | 'confirmName'
  >;
  readonly store: {
    readonly instances: Pick<InstanceStore, 'get' | 'startDraining' | 'finalize'>;
    readonly leases: Leases;
    readonly logArchive: Pick<LogArchive, 'read'>;
    readonly warnings: InstanceWarnings;
  };
  readonly killJobs: Pick<KillJobs, 'schedule' | 'cancel'>;
  readonly killRequests: KillRequests;
  readonly hostRpc: HostRpc;
  readonly hostConnections: Pick<HostConnections, 'request'>;
}

/**
 * Combines cells, so that each call reaches the cell of its id by one lookup, `storeOf`. An id of a
 * letter without a cell is unknown, without a read in Redis.
 * @param cells the calls of each cell by its letter
 */
export function portsById(cells: ReadonlyMap<string, IdPorts>) {
  const storeOf = (id: string): IdPorts | undefined => cells.get(cellOf(id));
  const all = [...cells.values()];
  const unknown = Promise.resolve(undefined);
  const routes: IdPorts['routes'] = {
    peek: (id) => storeOf(id)?.routes.peek(id),
    find: (id) => storeOf(id)?.routes.find(id) ?? unknown,
    confirm: (id, host) => storeOf(id)?.routes.confirm(id, host) ?? unknown,
    waitFor: (id, until, timeoutMs, signal) =>
      storeOf(id)?.routes.waitFor(id, until, timeoutMs, signal) ?? unknown,
    // Names are in the default cell.
    peekName: (name) => cells.get(DEFAULT_CELL)?.routes.peekName(name),
    findName: (name) => cells.get(DEFAULT_CELL)?.routes.findName(name) ?? unknown,
    confirmName: (name) => cells.get(DEFAULT_CELL)?.routes.confirmName(name) ?? unknown,
    // A host belongs to one cell.
    async isRegistered(host, endpoint) {
      const found = await Promise.all(all.map((cell) => cell.routes.isRegistered(host, endpoint)));
      return found.includes(true);
    },
    onDrop(listener) {
      for (const cell of all) cell.routes.onDrop(listener);
    },
  };
  const instances: Pick<InstanceStore, 'get' | 'startDraining' | 'finalize'> = {
    get: (id) => storeOf(id)?.store.instances.get(id) ?? unknown,
    startDraining: async (id, reason, message, hint) =>
      (await storeOf(id)?.store.instances.startDraining(id, reason, message, hint)) ?? {
        kind: 'absent',
      },
    finalize: async (id, generation, left) =>
      (await storeOf(id)?.store.instances.finalize(id, generation, left)) ?? false,
  };
  const leases: Leases = {
    renew: async (id, renewal) =>
      (await storeOf(id)?.store.leases.renew(id, renewal)) ?? { kind: 'absent' },
    async touch(ids) {
      const byCell = Map.groupBy(ids, storeOf);
      await Promise.all([...byCell].map(async ([cell, own]) => cell?.store.leases.touch(own)));
    },
  };
  const killJobs: IdPorts['killJobs'] = {
    schedule: async (instance, delay) => storeOf(instance.id)?.killJobs.schedule(instance, delay),
    cancel: async (instance) => storeOf(instance.id)?.killJobs.cancel(instance),
  };
  const killRequests: KillRequests = {
    enqueueNow: async (instance) => storeOf(instance.id)?.killRequests.enqueueNow(instance),
  };
  const hostConnections: IdPorts['hostConnections'] = {
    request: async (call) =>
      (await storeOf(call.id)?.hostConnections.request(call)) ?? {
        kind: 'unregistered',
        detail: 'no cell has this id',
      },
  };
  const hostRpc: HostRpc = {
    request: async (host, request) => storeOf(request.id)?.hostRpc.request(host, request),
  };
  const logArchive: Pick<LogArchive, 'read'> = {
    read: (id) => storeOf(id)?.store.logArchive.read(id) ?? unknown,
  };
  const warnings: InstanceWarnings = {
    read: async (id) => (await storeOf(id)?.store.warnings.read(id)) ?? [],
    save: async (id, warning) => storeOf(id)?.store.warnings.save(id, warning),
  };
  return {
    ...{ storeOf, routes, instances, leases, killJobs, killRequests, hostRpc, logArchive },
    hostConnections,
    warnings,
  };
}
