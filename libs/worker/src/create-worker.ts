import { setTimeout as sleep } from 'node:timers/promises';
import { BootError } from '@ephemera/domain';
import {
  startQueuedInstances,
  expireInstancesOfDeadHosts,
  endExitedInstance,
  reconcile,
} from '@ephemera/lifecycle';
import { createProducers, createRefills } from '@ephemera/queue';
import { watchPolicy } from '@ephemera/config';
import {
  createHealthServer,
  createLifetime,
  createLogger,
  createMetrics,
  listen,
  registerClock,
  runApp,
  tellSkew,
} from '@ephemera/process';
import {
  connectRedis,
  keysOf,
  redisAddresses,
  redisHosts,
  redisInstances,
  redisIntake,
  redisLogArchive,
  redisStartQueue,
  redisPools,
  redisSuspensions,
  redisProgress,
  requireRedis,
  serveHostRpc,
  emitExpiringEvents,
  watchClock,
  withHostLock,
} from '@ephemera/store';
import { policyCheck } from './policy-check.ts';
import { handleHostRequest } from './rpc/handle-host-request.ts';
import { readConfig } from './config.ts';
import { connectDocker } from './docker/connect-docker.ts';
import { DEFAULT_TIMEOUT_MS, withDeadline, daemonMessage } from './docker/deadline.ts';
import { dockerContainers } from './docker/docker-containers.ts';
import { hostName } from './docker/host-name.ts';
import { imagePulls } from './docker/pull-image.ts';
import { requireLimits } from './docker/require-limits.ts';
import { ensureNetwork } from './docker/instances-network.ts';
import { instancesNetworks } from './docker/instances-networks.ts';
import { archiveLog } from './docker/archive-log.ts';
import { runInHostNetwork } from './docker/run-on-host.ts';
import { watchExits } from './docker/watch-exits.ts';
import type { Exit } from './docker/watch-exits.ts';
import { createFirewall, runHere } from './firewall.ts';
import { hostCapacity, withinNetworks } from './docker/host-capacity.ts';
import { withStartChecks } from './start-checks.ts';
import { limitConcurrency } from './concurrency-limit.ts';
import { startKillWorker } from './kill-worker.ts';
import { checkReadiness } from './check-readiness.ts';
import { overdueKillTimer } from './overdue-kill-timer.ts';
import { probe } from './probe.ts';
import { runPeriodically } from './run-periodically.ts';
import { limitsCheck } from './limits-check.ts';
import { startRefillWorker } from './refill-worker.ts';
import { withRemovalLimit } from './removal-limit.ts';
import { startSpawnWorker } from './spawn-worker.ts';
import { recordKill } from './record-kill.ts';
import { startWebhooks } from './webhooks/start-webhooks.ts';
import { createWorkerMetrics } from './worker-metrics.ts';

const RECONCILE_INTERVAL_MS = 10_000;
const HEARTBEAT_INTERVAL_MS = 5_000;
/** Room that opens is used at once; these only make up for what was missed. */
const DEQUEUE_INTERVAL_MS = 1_000;
const REFILL_INTERVAL_MS = 5_000;
const SCHEDULE_REFILL_INTERVAL_MS = 60_000;
const EXPIRE_DEAD_HOSTS_INTERVAL_MS = 30_000;
const EXPIRING_INTERVAL_MS = 1_000;
/** How many exits are looked into at once: all may end together. */
const EXIT_CONCURRENCY = 32;

await runApp(async () => {
  const config = readConfig();
  const { namespace } = config;
  const logger = createLogger('worker', config.logLevel);
  const shutdown = createLifetime(logger);
  const keys = keysOf(namespace);

  const onRedisError = (error: Error) => logger.warn({ err: error }, 'redis fault');
  const redis = connectRedis(config.redis, 'job', onRedisError);
  shutdown.onStop('redis', () => redis.quit());
  await requireRedis(redis, config.redis);

  const docker = connectDocker(config.dockerHost);
  await withDeadline('ping', DEFAULT_TIMEOUT_MS, docker.ping()).catch((error: unknown) => {
    throw new BootError(`Docker does not answer at ${config.dockerHost}: ${daemonMessage(error)}`);
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
    keep: (found) => firewall.keep(found),
    logger,
  });

  const instances = redisInstances(redis, keys, config.tombstone);
  const hosts = redisHosts(redis, keys);
  const jobs = createProducers(redis, keys.queuePrefix);
  shutdown.onStop('queues', () => jobs.close());
  const { killJobs, spawns } = jobs;
  const refills = createRefills(redis, keys.queuePrefix);
  shutdown.onStop('pool queue', () => refills.close());
  const capacity = await hostCapacity(docker, config.capacity);
  await hosts.setCapacity(host, capacity);
  const startQueue = redisStartQueue(redis, keys);
  const pulls = imagePulls(docker, config.pullTimeout);
  const policy = watchPolicy(config.configFile, logger);
  shutdown.onStop('policy', () => policy.close());
  const containers = withStartChecks(
    dockerContainers({
      docker,
      namespace,
      host,
      networks,
      resolvers: config.egress.resolvers,
      now: () => instances.now(),
      pulls,
      cpuPeriod: config.cpuPeriod,
      startLimit: limitConcurrency(config.spawnConcurrency),
      archiveLog: archiveLog(redisLogArchive(redis, keys, config.tombstone), logger),
    }),
    [limitsCheck(capacity.memory), policyCheck(() => policy.current), firewall.startCheck],
  );
  // Very many may be due, exit or fail at one instant: each kind has lanes of its own and waits for no
  // other, and who waits for its turn here is withdrawn already.
  const limitedContainers = () => withRemovalLimit(containers, config.killConcurrency);
  const progress = redisProgress(redis, keys);
  const addresses = redisAddresses(redis, keys, host);
  const registry = createMetrics('worker');
  const clock = watchClock({
    redis,
    onSkew: (skewMs, isSkewed) => tellSkew(logger, skewMs, isSkewed),
  });
  shutdown.onStop('clock', () => clock.stop());
  const metrics = createWorkerMetrics(registry, () => instances.count());
  const onKilled = recordKill(logger, metrics);
  registerClock(registry, () => clock.skewMs);
  const overdueKills = overdueKillTimer({
    killJobs,
    timeoutMs: 2 * RECONCILE_INTERVAL_MS,
    onError: (err, id) => logger.warn({ err, id }, 'overdue kill job not promoted'),
  });
  shutdown.onStop('late kills', () => overdueKills.stop());

  // Before the work, so that it is there until that has stopped.
  let isServing = false;
  const pings = { redis: () => redis.ping(), docker: () => docker.ping() };
  const readiness = () => checkReadiness(isServing && !shutdown.stopping, pings);
  const health = createHealthServer({ readiness, metrics: registry });
  await listen(health, { host: config.bind, port: config.port });
  shutdown.onStop('health', () => health.close());

  const inFlight = new Set<string>();
  const repaired = limitedContainers();
  const reconcileNow = async (): Promise<void> => {
    const ended = metrics.reconcileSeconds.startTimer();
    try {
      await reconcile({
        host,
        instances,
        containers: repaired,
        killJobs,
        inFlight,
        spawns,
        onLease: (instance, remaining) => overdueKills.watch(instance, remaining),
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
  const reconcileOnce = () => withHostLock(redis, keys.reconciler(host), 30_000, reconcileNow);

  // Before anything changes, so that nothing goes untold. Where no webhook is known here, workers
  // that know some do it alone.
  if (config.webhooks.length > 0) {
    const blocking = connectRedis(config.redis, 'watch', onRedisError);
    const { webhooks } = config;
    const stop = await startWebhooks({ webhooks, redis, blocking, keys, logger });
    shutdown.onStop('webhooks', stop);
  }

  // What became overdue while nobody was here goes before anything new is started; whoever held
  // the lock may have died with it.
  await reconcileNow();

  const options = { connection: redis, prefix: keys.queuePrefix, logger, metrics };
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
      probe,
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
      pools: redisPools(redis, keys),
      intake: redisIntake(redis, keys),
    },
    { connection: redis, prefix: keys.queuePrefix, logger },
  );
  shutdown.onStop('refill worker', () => refillWorker.close());

  const rpcRedis = connectRedis(config.redis, 'watch', onRedisError);
  const suspensions = redisSuspensions(redis, keys);
  const rpcPorts = { docker, namespace, host, suspensions, instances, containers, killJobs };
  const inspectLimit = limitConcurrency(EXIT_CONCURRENCY);
  const exited: typeof containers = {
    ...limitedContainers(),
    inspect: (id) => inspectLimit(() => containers.inspect(id)),
    running: (id) => inspectLimit(() => containers.running(id)),
  };
  const stopping = new AbortController();
  const { signal } = stopping;
  const loops = [
    runPeriodically('reconcile', RECONCILE_INTERVAL_MS, reconcileOnce, { signal, logger }),
    // Beside it: neither may hold up the other.
    runPeriodically('networks', RECONCILE_INTERVAL_MS, keepNetworks, { signal, logger }),
    runPeriodically('heartbeat', HEARTBEAT_INTERVAL_MS, heartbeat, { signal, logger }),
    runPeriodically('start queue', DEQUEUE_INTERVAL_MS, startQueued, { signal, logger }),
    runPeriodically('dead hosts', EXPIRE_DEAD_HOSTS_INTERVAL_MS, expireDeadHosts, {
      signal,
      logger,
    }),
    // Again and again: a Redis that lost everything has lost it too.
    runPeriodically(
      'refill',
      SCHEDULE_REFILL_INTERVAL_MS,
      () => refills.every(REFILL_INTERVAL_MS),
      { signal, logger },
    ),
    watchExits(docker, { namespace, host }, { onExit, onDaemon: assertFirewall }, signal),
    runPeriodically('expiring', EXPIRING_INTERVAL_MS, emitExpiring, { signal, logger }),
    serveHostRpc({
      redis,
      blocking: rpcRedis,
      keys,
      host,
      answer: (request) => handleHostRequest(rpcPorts, request),
      signal,
    }),
  ];
  shutdown.onStop('loops', async () => {
    stopping.abort();
    rpcRedis.disconnect();
    await Promise.all(loops);
  });

  // Last, to stop first, and both at once: what is under way has its time from the signal on.
  shutdown.onStop('jobs', () => Promise.all([spawnWorker.stop(), killWorker.stop()]));

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
    await emitExpiringEvents(redis, keys, await instances.now());
  }

  async function expireDeadHosts(): Promise<void> {
    const finalized = await expireInstancesOfDeadHosts({ instances, hosts, onKilled });
    if (finalized.length > 0) logger.warn({ ids: finalized }, 'instances of dead hosts expired');
  }

  async function startQueued(): Promise<void> {
    const started = await startQueuedInstances({ startQueue, spawns });
    if (started.length > 0) logger.info({ ids: started }, 'instances started from the queue');
  }

  async function heartbeat(): Promise<void> {
    await withDeadline('ping', DEFAULT_TIMEOUT_MS, docker.ping());
    await hosts.setCapacity(host, withinNetworks(capacity, networks.max));
    await hosts.heartbeat(host, await instances.now());
  }

  /** A daemon that has just come back may have built its chains anew. */
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
});
