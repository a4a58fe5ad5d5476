import { setTimeout as sleep } from 'node:timers/promises';
import { BootError } from '@ephemera/domain';
import type { Capacity, Webhook } from '@ephemera/domain';
import {
  ContainerStartError,
  startQueuedInstances,
  expireInstancesOfDeadHosts,
  endExitedInstance,
  reconcile,
} from '@ephemera/lifecycle';
import type { Probe } from '@ephemera/lifecycle';
import { createProducers, createRefills } from '@ephemera/queue';
import { watchPolicy } from '@ephemera/config';
import {
  createHealthServer,
  createShutdown,
  createLogger,
  createMetrics,
  listen,
  registerClockSkewMetric,
  logClockSkew,
} from '@ephemera/process';
import type { App, Shutdown, Logger } from '@ephemera/process';
import {
  HOST_ALIVE_TIMEOUT_MS,
  connectRedis,
  createStore,
  keysOf,
  requireRedis,
  serveHostRpc,
  watchClock,
} from '@ephemera/store';
import type { RedisAddress } from '@ephemera/store';
import { policyCheck, withStartChecks, limitsCheck } from './start-checks.ts';
import { handleHostRequest } from './host-requests.ts';
import { connectDocker, withDeadline, daemonMessage } from './docker/docker-client.ts';
import { dockerContainers } from './docker/docker-containers.ts';
import { hostName, requireLimits, hostCapacity, withinNetworks } from './docker/daemon-info.ts';
import { imagePulls } from './docker/pull-image.ts';
import { ensureNetwork } from './docker/instances-network.ts';
import { instancesNetworks } from './docker/instances-networks.ts';
import { archiveLog } from './docker/container-log.ts';
import { runInHostNetwork } from './docker/run-on-host.ts';
import { watchExits } from './docker/watch-exits.ts';
import type { Exit } from './docker/watch-exits.ts';
import type { EgressRules } from './firewall-rules.ts';
import { createFirewall, runHere } from './firewall.ts';
import { HostIdTakenError, hostRegistration, readBootId } from './host-registration.ts';
import type { HostRegistration } from './host-registration.ts';
import { limitConcurrency, withRemovalLimit } from './concurrency-limit.ts';
import { startJobWorker } from './job-worker.ts';
import { startKillWorker } from './kill-worker.ts';
import { checkReadiness } from './check-readiness.ts';
import {
  DEFAULT_TIMEOUT_MS,
  DEQUEUE_INTERVAL_MS,
  EXIT_CONCURRENCY,
  EXPIRE_DEAD_HOSTS_INTERVAL_MS,
  EXPIRING_INTERVAL_MS,
  HEARTBEAT_INTERVAL_MS,
  RECONCILER_LOCK_MS,
  RECONCILE_INTERVAL_MS,
  REFILL_INTERVAL_MS,
  SCHEDULE_REFILL_INTERVAL_MS,
} from './limits.ts';
import { probe } from './probe.ts';
import { runPeriodically } from './run-periodically.ts';
import { startRefillWorker } from './refill-worker.ts';
import { startSpawnWorker } from './spawn-worker.ts';
import { recordKill, createWorkerMetrics } from './worker-metrics.ts';
import { startWebhooks, webhookDependencies } from './webhooks.ts';
import type { WebhookDependencies } from './webhooks.ts';

/**
 * Age at which another host may have taken the registration, ms: a host counts as dead after this
 * time.
 */
const REGISTRATION_TIMEOUT_MS = HOST_ALIVE_TIMEOUT_MS;

/** Settings of the worker; durations in milliseconds. */
export interface WorkerConfig {
  readonly redis: RedisAddress;
  readonly namespace: string;
  readonly logLevel: string;
  readonly bind: string;
  readonly port: number;
  readonly dockerHost: string;
  readonly hostId: string | undefined;
  readonly subnets: readonly string[] | undefined;
  readonly networkInstances: number;
  readonly firewall: 'auto' | 'required' | 'off';
  readonly firewallImage: string | undefined;
  readonly egress: EgressRules;
  readonly pullTimeout: number;
  readonly capacity: Capacity;
  readonly cpuPeriod: number;
  readonly spawnConcurrency: number;
  readonly killConcurrency: number;
  readonly tombstone: number;
  readonly webhooks: readonly Webhook[];
  readonly configFile: string;
}

/** The parts of a worker. Tests wrap or replace some of them. */
export interface WorkerDependencies {
  readonly createStore: typeof createStore;
  readonly createProducers: typeof createProducers;
  readonly createRefills: typeof createRefills;
  readonly webhooks: Omit<WebhookDependencies, 'startJobWorker'>;
  readonly connectDocker: typeof connectDocker;
  readonly createContainers: typeof dockerContainers;
  readonly probe: Probe;
  readonly reconcile: typeof reconcile;
  /** Starts the worker of each queue. */
  readonly startJobWorker: typeof startJobWorker;
}

export const workerDependencies: WorkerDependencies = {
  createStore,
  createProducers,
  createRefills,
  webhooks: webhookDependencies,
  connectDocker,
  createContainers: dockerContainers,
  probe,
  reconcile,
  startJobWorker,
};

/**
 * A worker of one Docker daemon. It starts, probes, kills and reconciles the containers of
 * instances.
 */
export function createWorker(
  config: WorkerConfig,
  dependencies: WorkerDependencies = workerDependencies,
): App {
  const logger = createLogger('worker', config.logLevel);
  const shutdown = createShutdown(logger);
  return {
    logger,
    start: () => startWorker(config, dependencies, { logger, shutdown }),
    stop: () => shutdown.stop(),
  };
}

async function startWorker(
  config: WorkerConfig,
  dependencies: WorkerDependencies,
  { logger, shutdown }: { readonly logger: Logger; readonly shutdown: Shutdown },
): Promise<void> {
  const { namespace } = config;
  const keys = keysOf(namespace);

  const onRedisError = (error: Error) =>
    logger.warn({ err: error }, 'Redis connection error; reconnecting');
  const redis = connectRedis(config.redis, 'job', onRedisError);
  shutdown.onShutdown('redis', () => redis.quit());
  await requireRedis(redis, config.redis);

  const docker = dependencies.connectDocker(config.dockerHost);
  await withDeadline('ping', DEFAULT_TIMEOUT_MS, docker.ping()).catch((error: unknown) => {
    throw new BootError(
      `Docker does not answer at ${config.dockerHost}: ${daemonMessage(error)}. Start the Docker Engine, or set DOCKER_HOST.`,
    );
  });
  await requireLimits(docker);
  const host = config.hostId ?? (await hostName(docker));
  const firewall = await createFirewall({
    network: await ensureNetwork(docker, namespace, config.subnets),
    mode: config.firewall,
    egress: config.egress,
    runOnHost:
      config.firewallImage === undefined
        ? runHere
        : runInHostNetwork(docker, namespace, config.firewallImage),
    logger,
  });
  const networks = await instancesNetworks({
    docker,
    namespace,
    subnets: config.subnets,
    portsPerNetwork: config.networkInstances,
    prepare: (network) => firewall.secure(network),
    claim: (network) => registration.claim(network),
    keep: (found) => firewall.keep(found),
    logger,
  });
  const store = dependencies.createStore(redis, keys, config.tombstone);
  // Register before any change: another daemon may use the same host id.
  const registration: HostRegistration = hostRegistration({
    registry: store.hostRegistry,
    host,
    bootId: await readBootId(),
    networks: () => networks.all,
    recheck: () => networks.refresh(),
    logger,
  });
  await registration.start();
  shutdown.onShutdown('registration', () => registration.release());
  let registeredAt = performance.now();

  const { hosts, instances, startQueue, pools, intake, progress, suspensions } = store;
  const jobs = dependencies.createProducers(redis, keys.queuePrefix);
  shutdown.onShutdown('queues', () => jobs.close());
  const { killJobs, spawns } = jobs;
  const refills = dependencies.createRefills(redis, keys.queuePrefix);
  shutdown.onShutdown('pool queue', () => refills.close());
  const capacity = await hostCapacity(docker, config.capacity);
  await hosts.setCapacity(host, capacity);
  const pulls = imagePulls(docker, config.pullTimeout);
  const policy = watchPolicy(config.configFile, logger);
  shutdown.onShutdown('policy', () => policy.close());
  const containers = withStartChecks(
    dependencies.createContainers({
      docker,
      namespace,
      host,
      networks: { reserve: reservePort },
      resolvers: config.egress.resolvers,
      now: () => instances.now(),
      pulls,
      cpuPeriod: config.cpuPeriod,
      startLimit: limitConcurrency(config.spawnConcurrency),
      archiveLog: archiveLog(store.logArchive, logger),
    }),
    [limitsCheck(capacity.memory), policyCheck(() => policy.current), firewall.startCheck],
  );
  // Many instances may expire, exit or fail at the same time. Each cause has its own concurrency
  // limit, so that none delays another. The route is removed before the removal waits for the
  // limit.
  const limitedContainers = () => withRemovalLimit(containers, config.killConcurrency);
  const addresses = store.addresses(host);
  const registry = createMetrics('worker');
  const clock = watchClock({
    redis,
    onSkew: (skewMs, isSkewed) => logClockSkew(logger, skewMs, isSkewed),
  });
  shutdown.onShutdown('clock', () => clock.stop());
  const metrics = createWorkerMetrics(registry, {
    instances: () => instances.count(),
    overlaps: () => registration.overlaps,
  });
  const onKilled = recordKill(logger, metrics);
  registerClockSkewMetric(registry, () => clock.skewMs);

  // Start it before the jobs, so that it stops after them.
  let isServing = false;
  const pings = {
    redis: () => redis.ping(),
    docker: () => docker.ping(),
    networks: () =>
      registration.conflict === undefined ? Promise.resolve() : Promise.reject(new Error()),
  };
  const readiness = () => checkReadiness(isServing && !shutdown.stopping, pings);
  const health = createHealthServer({
    readiness,
    metrics: registry,
    onError: (error) => logger.warn({ err: error }, 'health or metrics not readable'),
  });
  await listen(health, { host: config.bind, port: config.port });
  shutdown.onShutdown('health', () => health.close());

  const inFlight = new Set<string>();
  const repaired = limitedContainers();
  const reconcileNow = async (): Promise<void> => {
    // After a long loss of Redis, another daemon may have taken the host id. Its instances have no
    // container on this daemon, so reconciliation would end them.
    if (performance.now() > registeredAt + REGISTRATION_TIMEOUT_MS) await heartbeat();
    const ended = metrics.reconcileSeconds.startTimer();
    try {
      await dependencies.reconcile({
        host,
        instances,
        containers: repaired,
        killJobs,
        inFlight,
        spawns,
        onKilled,
        onRepair(kind, id, generation) {
          metrics.repairs.inc({ kind });
          logger.info({ id, generation, kind }, 'repaired');
        },
        onError(kind, id, error) {
          logger.warn({ err: error, id, kind }, 'repair failed');
        },
      });
    } finally {
      ended();
    }
  };
  const reconcileOnce = () => store.withReconcilerLock(host, RECONCILER_LOCK_MS, reconcileNow);

  // Start before the first change, so that no event is missed. A worker without webhooks leaves the
  // events to workers that have some.
  if (config.webhooks.length > 0) {
    const blocking = connectRedis(config.redis, 'watch', onRedisError);
    const { webhooks } = config;
    const stop = await startWebhooks(
      { webhooks, redis, blocking, keys, logger },
      { ...dependencies.webhooks, startJobWorker: dependencies.startJobWorker },
    );
    shutdown.onShutdown('webhooks', stop);
  }

  const stopping = new AbortController();
  const { signal } = stopping;
  // Start the heartbeat before the first reconciliation, which may take longer than the heartbeat
  // timeout.
  const heartbeatLoop = runPeriodically('heartbeat', HEARTBEAT_INTERVAL_MS, sendHeartbeat, {
    signal,
    logger,
  });

  // End overdue instances before new ones start. This run ignores the lock, because its holder may
  // have died.
  await reconcileNow();

  const options = {
    connection: redis,
    prefix: keys.queuePrefix,
    logger,
    metrics,
    startJobWorker: dependencies.startJobWorker,
  };
  const killPorts = { instances, containers, killJobs, onKilled };
  const killWorker = startKillWorker(
    { ...killPorts, containers: limitedContainers() },
    host,
    options,
  );
  const spawnWorker = startSpawnWorker(
    {
      ...killPorts,
      containers: limitedContainers(),
      host,
      addresses,
      probe: dependencies.probe,
      progress,
      pause: sleep,
    },
    options,
  );
  killWorker.worker.on('completed', () => {
    startQueued().catch((error: unknown) =>
      logger.warn({ err: error }, 'start queue check failed'),
    );
  });
  const refillWorker = startRefillWorker(
    {
      instances,
      killRequests: jobs.killRequests,
      spawns,
      pools,
      intake,
    },
    options,
  );
  shutdown.onShutdown('refill worker', () => refillWorker.close());

  const rpcRedis = connectRedis(config.redis, 'watch', onRedisError);
  const rpcPorts = { docker, namespace, host, suspensions, instances, containers, killJobs };
  const inspectLimit = limitConcurrency(EXIT_CONCURRENCY);
  const exited: typeof containers = {
    ...limitedContainers(),
    inspect: (id) => inspectLimit(() => containers.inspect(id)),
    running: (id) => inspectLimit(() => containers.running(id)),
  };
  const loops = [
    heartbeatLoop,
    runPeriodically('reconcile', RECONCILE_INTERVAL_MS, reconcileOnce, { signal, logger }),
    // A separate loop, so that neither delays the other.
    runPeriodically('networks', RECONCILE_INTERVAL_MS, keepNetworks, { signal, logger }),
    runPeriodically('start queue', DEQUEUE_INTERVAL_MS, startQueued, { signal, logger }),
    runPeriodically('dead hosts', EXPIRE_DEAD_HOSTS_INTERVAL_MS, expireDeadHosts, {
      signal,
      logger,
    }),
    // Repeat it, because Redis may lose the job scheduler.
    runPeriodically(
      'refill',
      SCHEDULE_REFILL_INTERVAL_MS,
      () => refills.every(REFILL_INTERVAL_MS),
      { signal, logger },
    ),
    watchExits(docker, { namespace, host }, { onExit, onDaemon: assertFirewall }, signal),
    runPeriodically('expiring', EXPIRING_INTERVAL_MS, emitExpiring, { signal, logger }),
    serveHostRpc({
      onError: (error, { op, id }) => logger.warn({ err: error, id, op }, 'host request failed'),
      redis,
      blocking: rpcRedis,
      keys,
      host,
      answer: (request) => handleHostRequest(rpcPorts, request),
      signal,
    }),
  ];
  shutdown.onShutdown('loops', async () => {
    stopping.abort();
    rpcRedis.disconnect();
    await Promise.all(loops);
  });

  // Registered last, so that it stops first. Both stop together, so that their timeouts overlap.
  shutdown.onShutdown('jobs', () => Promise.all([spawnWorker.stop(), killWorker.stop()]));

  isServing = true;
  logger.info({ host, networks: networks.all }, 'worker ready');

  async function keepNetworks(): Promise<void> {
    try {
      await networks.refresh();
    } finally {
      await firewall.assert();
    }
  }

  async function emitExpiring(): Promise<void> {
    await store.emitExpiringEvents();
  }

  async function expireDeadHosts(): Promise<void> {
    const finalized = await expireInstancesOfDeadHosts({ instances, hosts, onKilled });
    if (finalized.length > 0) logger.warn({ ids: finalized }, 'instances of dead hosts expired');
  }

  async function startQueued(): Promise<void> {
    const started = await startQueuedInstances({ startQueue, spawns });
    if (started.length > 0) logger.info({ ids: started }, 'instances started from the queue');
  }

  async function sendHeartbeat(): Promise<void> {
    await withDeadline('ping', DEFAULT_TIMEOUT_MS, docker.ping());
    await heartbeat();
    const max = registration.conflict === undefined ? networks.max : 0;
    await hosts.setCapacity(host, withinNetworks(capacity, max));
  }

  async function heartbeat(): Promise<void> {
    try {
      await registration.heartbeat();
      registeredAt = performance.now();
    } catch (error) {
      if (error instanceof HostIdTakenError) stopForOtherDaemon(error);
      throw error;
    }
  }

  /** Any further work would affect the instances of the other daemon. */
  function stopForOtherDaemon({ message }: HostIdTakenError): void {
    if (shutdown.stopping) return;
    logger.fatal({ host }, message);
    void shutdown.stop().finally(() => process.exit(1));
  }

  function reservePort() {
    const { conflict } = registration;
    if (conflict !== undefined) throw new ContainerStartError(conflict);
    return networks.reserve();
  }

  /** A restarted daemon may have rebuilt its iptables chains. */
  function assertFirewall(): void {
    firewall
      .assert()
      .catch((error: unknown) => logger.warn({ err: error }, 'firewall check failed'));
  }

  function onExit(exit: Exit): void {
    endExitedInstance({ ...killPorts, containers: exited, host }, exit).catch((error: unknown) =>
      logger.warn({ err: error, id: exit.id }, 'exit not handled'),
    );
  }
}
