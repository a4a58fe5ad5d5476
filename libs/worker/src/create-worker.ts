import { setTimeout as sleep } from 'node:timers/promises';
import { STRICT_POLICY } from '@ephemera/domain';
import type { Instance, RedisAddress } from '@ephemera/domain';
import {
  drainHost,
  newHostScan,
  startQueuedInstances,
  expireInstancesOfDeadHosts,
  endExitedInstance,
  reconcile,
} from '@ephemera/lifecycle';
import type { Probe } from '@ephemera/lifecycle';
import { createProducers, createRefills } from '@ephemera/queue';
import { resolveWebhooks, watchConfig, watchKeys } from '@ephemera/config';
import type { RegistryLogins } from '@ephemera/config';
import {
  createHealthServer,
  createShutdown,
  createLogger,
  createMetrics,
  listen,
  currentTraceparent,
  distinctErrors,
  startTracing,
  configStatus,
  registerClockSkewMetric,
  registerConfigMetric,
  logClockSkew,
} from '@ephemera/process';
import type { App, Shutdown, Logger, TracingConfig } from '@ephemera/process';
import {
  DATASET_CHECK_INTERVAL_MS,
  connectRedis,
  createStore,
  keysOf,
  requireRedis,
  serveHostRpc,
  watchClock,
} from '@ephemera/store';
import manifest from '../package.json' with { type: 'json' };
import { connectHost } from './connect-host.ts';
import { containerReport } from './container-report.ts';
import type { HostConfig } from './connect-host.ts';
import { policyCheck, withStartChecks, limitsCheck } from './start-checks.ts';
import { startExec } from './exec/start-exec.ts';
import { hostOperations } from './host-interface/host-operations.ts';
import type { HostListen } from './host-interface/listen-address.ts';
import { startHostInterface } from './host-interface/start-host-interface.ts';
import { handleHostRequest } from './host-requests.ts';
import { connectDocker } from './docker/docker-client.ts';
import { dockerContainers } from './docker/docker-containers.ts';
import { onDockerError } from './docker/docker-errors.ts';
import { traceDockerCalls } from './docker/docker-spans.ts';
import { imagePulls } from './docker/pull-image.ts';
import { archiveLog } from './docker/container-log.ts';
import { watchExits } from './docker/watch-exits.ts';
import type { Exit } from './docker/watch-exits.ts';
import { limitConcurrency, withRemovalLimit } from './concurrency-limit.ts';
import { withJobSpans } from './job-spans.ts';
import { startJobWorker } from './job-worker.ts';
import { startKillWorker } from './kill-worker.ts';
import { checkReadiness } from './check-readiness.ts';
import { eventLogWatch } from './event-log-watch.ts';
import {
  DEQUEUE_INTERVAL_MS,
  DRAIN_INTERVAL_MS,
  EVENT_LOG_CHECK_INTERVAL_MS,
  EXIT_CONCURRENCY,
  EXPIRE_DEAD_HOSTS_INTERVAL_MS,
  EXPIRING_INTERVAL_MS,
  HEARTBEAT_INTERVAL_MS,
  RECONCILER_LOCK_MS,
  RECONCILE_INTERVAL_MS,
  REFILL_INTERVAL_MS,
  SCHEDULE_REFILL_INTERVAL_MS,
  UNASSIGNED_INTERVAL_MS,
} from './limits.ts';
import { probe } from './probe.ts';
import { runPeriodically } from './run-periodically.ts';
import { startRefillWorker } from './refill-worker.ts';
import { startSpawnWorker } from './spawn-worker.ts';
import { withSignatureCheck } from './start-signature.ts';
import { recordKill, createWorkerMetrics } from './worker-metrics.ts';
import { keepDelivery, startWebhooks, webhookDependencies } from './webhooks.ts';
import type { WebhookDependencies } from './webhooks.ts';

const { version } = manifest;

/** Settings of the worker; durations in milliseconds. */
export interface WorkerConfig extends HostConfig {
  readonly redis: RedisAddress;
  readonly logLevel: string;
  /** Undefined: no traces are recorded. */
  readonly tracing?: TracingConfig | undefined;
  readonly bind: string;
  /** Port of the health checks; undefined: none are served. */
  readonly port: number | undefined;
  readonly pullTimeout: number;
  /** Reads the logins of registries. They are secrets. */
  readonly readLogins: () => RegistryLogins;
  readonly cpuPeriod: number;
  readonly spawnConcurrency: number;
  /** Where proxies connect to this worker. */
  readonly hostListen: HostListen;
  readonly killConcurrency: number;
  readonly tombstone: number;
  readonly signingKeys: string | undefined;
  readonly signingKeysFile: string | undefined;
  /** The file with the policy and the webhooks. It need not exist. */
  readonly configFile: string;
  /** The variables that `secretEnv` of a webhook may name. */
  readonly environment: Readonly<Record<string, string | undefined>>;
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
  /** Reads and watches the configuration file. */
  readonly watchConfig: typeof watchConfig;
  /** Called once the worker has stopped because another daemon uses its host id. */
  readonly onHostIdTaken: () => void;
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
  watchConfig,
  onHostIdTaken: () => process.exit(1),
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
  const service = { name: 'ephemera-worker', version, namespace };
  const tracing = await startTracing(config.tracing, service, { logger, shutdown });
  const start = withJobSpans(dependencies.startJobWorker, tracing);

  const onRedisError = (error: Error) =>
    logger.warn({ err: error }, 'Redis connection error; reconnecting');
  const redis = connectRedis(config.redis, 'job', onRedisError);
  shutdown.onShutdown('redis', () => redis.quit());
  await requireRedis(redis, config.redis);

  const signer = watchKeys({ keys: config.signingKeys, file: config.signingKeysFile }, logger);
  shutdown.onShutdown('signing keys', () => signer.close());
  if (!signer.hasKeys) {
    logger.info(
      'EPHEMERA_SIGNING_KEYS is not set; starts that are read from Redis are not verified',
    );
  }
  const store = dependencies.createStore(redis, keys, config.tombstone, {
    signer,
    onRefusedPool(template) {
      metrics.startRefusals.inc({ reason: 'pool' });
      logger.warn({ template }, 'pool refused: no signing key has signed it');
    },
  });
  // Before any change: another daemon may use the same host id.
  const connected = await connectHost(config, dependencies, store, { logger, shutdown });
  const { host, docker, capacity, networks, firewall, registration } = connected;
  if (tracing) traceDockerCalls(docker, tracing);

  const { hosts, instances, startQueue, pools, intake, progress, suspensions } = store;
  const jobs = dependencies.createProducers(redis, keys.queuePrefix, Date.now, currentTraceparent);
  shutdown.onShutdown('queues', () => jobs.close());
  const { killJobs, spawns } = jobs;
  const refills = dependencies.createRefills(redis, keys.queuePrefix);
  shutdown.onShutdown('pool queue', () => refills.close());
  const { configFile, environment, readLogins } = config;
  const pulls = imagePulls(docker, config.pullTimeout, { readLogins, logger });
  // Without the file, nothing that weakens the host is allowed.
  const file = dependencies.watchConfig(configFile, logger, (set) => ({
    policy: set?.policy ?? STRICT_POLICY,
    webhooks: resolveWebhooks(set?.webhooks ?? [], environment, configFile),
  }));
  shutdown.onShutdown('configuration', () => file.close());
  const checked = withStartChecks(
    dependencies.createContainers({
      docker,
      namespace,
      host,
      networks: { reserve: connected.reservePort },
      reach: config.reach,
      resolvers: config.egress.resolvers,
      now: () => instances.now(),
      pulls,
      cpuPeriod: config.cpuPeriod,
      startLimit: limitConcurrency(config.spawnConcurrency),
      archiveLog: archiveLog(store.logArchive, logger),
      onNoFilesHelper: (error) => logger.warn({ err: error }, 'instance without file operations'),
    }),
    [limitsCheck(capacity.memory), policyCheck(() => file.current.policy), firewall.startCheck],
  );
  const containers = withSignatureCheck(checked, signer, {
    onRefused({ id, generation }, reason) {
      metrics.startRefusals.inc({ reason });
      logger.warn({ id, generation, reason }, 'start refused: the signature is not accepted');
    },
    now: () => clock.now(),
  });
  // Many instances may expire, exit or fail at the same time. Each cause has its own concurrency
  // limit, so that none delays another. The route is removed before the removal waits for the
  // limit.
  const limitedContainers = () => withRemovalLimit(containers, config.killConcurrency);
  const addresses = store.addresses(host);
  const registry = createMetrics('worker');
  const clock = watchClock({
    redis,
    onSkew: (skewMs, isSkewed) => logClockSkew(logger, skewMs, isSkewed),
    onError: distinctErrors((error) =>
      logger.error({ err: error }, 'the Redis clock cannot be read; trying again'),
    ),
  });
  shutdown.onShutdown('clock', () => clock.stop());
  const deliveries = dependencies.webhooks.createDeliveries(redis, keys.queuePrefix);
  shutdown.onShutdown('webhook queue', () => deliveries.close());
  const metrics = createWorkerMetrics(registry, {
    instances: () => instances.count(),
    overlaps: () => registration.overlaps,
    eventLog: () => store.readEventLogState(),
    deliveries: () => deliveries.waiting(),
    queues: () => jobs.depths(host),
    now: () => clock.now(),
  });
  onDockerError(docker, (reason) => metrics.dockerErrors.inc({ reason }));
  const onKilled = recordKill(logger, metrics);
  registerClockSkewMetric(registry, () => clock.skewMs);
  registerConfigMetric(registry, () => file.issues.length === 0);

  // Start it before the jobs, so that it stops after them.
  let isServing = false;
  const pings = {
    redis: () => redis.ping(),
    docker: () => docker.ping(),
    networks: () =>
      registration.conflict === undefined ? Promise.resolve() : Promise.reject(new Error()),
  };
  const readiness = async () => ({
    ...(await checkReadiness(isServing && !shutdown.stopping, pings)),
    config: configStatus(file),
  });
  const health = createHealthServer({
    readiness,
    metrics: registry,
    onError: (error) => logger.warn({ err: error }, 'health or metrics not readable'),
  });
  if (config.port !== undefined) {
    await listen(health, { host: config.bind, port: config.port });
    shutdown.onShutdown('health', () => health.close());
  }

  const inFlight = new Set<string>();
  const scan = newHostScan();
  const repaired = limitedContainers();
  /** Whether every instance that Redis lacked was restored. */
  const reconcileNow = async (): Promise<boolean> => {
    let missingRebuilds = 0;
    // After a long loss of Redis, another daemon may have taken the host id. Its instances have no
    // container on this daemon, so reconciliation would end them.
    await connected.requireRegistration();
    const ended = metrics.reconcileSeconds.startTimer();
    try {
      await dependencies.reconcile({
        host,
        instances,
        containers: repaired,
        killJobs,
        inFlight,
        scan,
        spawns,
        takesUnassigned: () => store.takeTurn('unassigned', UNASSIGNED_INTERVAL_MS),
        onKilled,
        onRepair(kind, id, generation) {
          metrics.repairs.inc({ kind });
          logger.info({ id, generation, kind }, 'repaired');
        },
        onError(kind, id, error) {
          if (kind === 'rebuild') missingRebuilds++;
          logger.warn({ err: error, id, kind }, 'repair failed');
        },
        onSkip(kind) {
          if (kind === 'rebuild') missingRebuilds++;
        },
      });
    } finally {
      ended();
    }
    return missingRebuilds === 0 && ![...inFlight].some((repair) => repair.startsWith('rebuild '));
  };
  const reconcileOnce = async (): Promise<void> => {
    await store.withReconcilerLock(host, RECONCILER_LOCK_MS, reconcileNow);
  };
  const reportContainers = containerReport({
    host,
    datasets: store.datasets,
    register: connected.registerAgain,
    restoreAll: reconcileNow,
    logger,
    clock: () => performance.now(),
  });

  const webhooks = () => file.current.webhooks;
  const delivery = keepDelivery(webhooks, () =>
    startWebhooks(
      {
        ...{ webhooks, redis, keys, logger },
        blocking: connectRedis(config.redis, 'watch', onRedisError),
        onDropped: (webhook) => metrics.webhookDrops.inc({ webhook }),
      },
      { ...dependencies.webhooks, startJobWorker: start },
    ),
  );
  shutdown.onShutdown('webhooks', () => delivery.stop());
  // Start before the first change, so that no event is missed.
  await delivery.update();
  file.onChange(() => {
    delivery
      .update()
      .catch((error: unknown) =>
        logger.error({ err: error }, 'webhooks not started; send SIGHUP to try again'),
      );
  });

  const stopping = new AbortController();
  const { signal } = stopping;
  // Start the heartbeat before the first reconciliation, which may take longer than the heartbeat
  // timeout.
  const heartbeatLoop = runPeriodically(
    'heartbeat',
    HEARTBEAT_INTERVAL_MS,
    connected.sendHeartbeat,
    { signal, logger },
  );

  // End overdue instances before new ones start. This run ignores the lock, because its holder may
  // have died.
  await reportContainers();

  const options = {
    connection: redis,
    prefix: keys.queuePrefix,
    logger,
    metrics,
    startJobWorker: start,
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
  const execPorts = {
    ...{ docker, namespace, host, containers, instances, logger },
    helperImage: config.firewallImage,
    recordUse: (target: Pick<Instance, 'id' | 'generation'>, type: 'exec' | 'files') =>
      store.recordUse(target, type),
    addresses: store.hostAddresses,
    now: () => clock.now(),
  };
  // Undefined: without signing keys, no proxy can send a command.
  let exec: ReturnType<typeof startExec> | undefined;
  const registerAddress = await startHostInterface({
    ...{ signer, host, logger, shutdown },
    listen: config.hostListen,
    addresses: store.hostAddresses,
    operations(fingerprint) {
      exec = startExec(execPorts, fingerprint);
      return new Map([...hostOperations(rpcPorts), ...exec.operations]);
    },
    now: () => clock.now(),
    generationOf: async (id) => (await instances.get(id))?.generation,
  });
  shutdown.onShutdown('commands', async () => exec?.stop());
  const inspectLimit = limitConcurrency(EXIT_CONCURRENCY);
  const exited: typeof containers = {
    ...limitedContainers(),
    inspect: (id) => inspectLimit(() => containers.inspect(id)),
    running: (id) => inspectLimit(() => containers.running(id)),
    lastLines: (id, count) => inspectLimit(() => containers.lastLines(id, count)),
  };
  const watchEventLog = eventLogWatch({
    read: () => store.readEventLogState(),
    now: () => clock.now(),
    logger,
  });
  const loops = [
    heartbeatLoop,
    runPeriodically('lost commands', HEARTBEAT_INTERVAL_MS, async () => exec?.killLost(), {
      signal,
      logger,
    }),
    runPeriodically('host address', HEARTBEAT_INTERVAL_MS, registerAddress, { signal, logger }),
    runPeriodically('reconcile', RECONCILE_INTERVAL_MS, reconcileOnce, { signal, logger }),
    runPeriodically('data set', DATASET_CHECK_INTERVAL_MS, reportContainers, { signal, logger }),
    // A separate loop, so that neither delays the other.
    runPeriodically('networks', RECONCILE_INTERVAL_MS, connected.keepNetworks, { signal, logger }),
    runPeriodically('event log', EVENT_LOG_CHECK_INTERVAL_MS, watchEventLog, { signal, logger }),
    runPeriodically('drain', DRAIN_INTERVAL_MS, drain, { signal, logger }),
    runPeriodically('start queue', DEQUEUE_INTERVAL_MS, startQueuedInTurn, { signal, logger }),
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
    watchExits(
      docker,
      { namespace, host },
      {
        ...{ onExit, onDaemon: connected.assertFirewall },
        onError: distinctErrors((error) =>
          logger.warn({ err: error }, 'exits of containers not followed; opening the stream again'),
        ),
      },
      signal,
    ),
    runPeriodically('expiring', EXPIRING_INTERVAL_MS, emitExpiring, { signal, logger }),
    serveHostRpc({
      onError: (error, request) =>
        logger.warn({ err: error, id: request?.id, op: request?.op }, 'host request failed'),
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

  async function emitExpiring(): Promise<void> {
    await store.emitExpiringEvents(clock.now());
  }

  async function expireDeadHosts(): Promise<void> {
    if (!(await store.takeTurn('dead-hosts', EXPIRE_DEAD_HOSTS_INTERVAL_MS / 2))) return;
    const finalized = await expireInstancesOfDeadHosts({ instances, hosts, onKilled });
    if (finalized.length > 0) logger.warn({ ids: finalized }, 'instances of dead hosts expired');
  }

  async function drain(): Promise<void> {
    const ports = { instances, containers, killRequests: jobs.killRequests, hosts };
    const ended = await drainHost(ports, host);
    if (ended.length > 0) logger.info({ host, ids: ended }, 'instances ended: the host is drained');
  }

  async function startQueuedInTurn(): Promise<void> {
    if ((await startQueue.templates()).length === 0) return;
    if (await store.takeTurn('start-queue', DEQUEUE_INTERVAL_MS / 2)) await startQueued();
  }

  async function startQueued(): Promise<void> {
    const started = await startQueuedInstances({ startQueue, spawns });
    if (started.length > 0) logger.info({ ids: started }, 'instances started from the queue');
  }

  function onExit(exit: Exit): void {
    endExitedInstance({ ...killPorts, containers: exited, host }, exit).catch((error: unknown) =>
      logger.warn({ err: error, id: exit.id }, 'exit not handled'),
    );
  }
}
