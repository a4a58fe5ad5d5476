import { setTimeout as sleep } from 'node:timers/promises';
import { StartError } from '@ephemera/domain';
import type { Capacity, Webhook } from '@ephemera/domain';
import { admit, buryLost, endExited, reconcile } from '@ephemera/lifecycle';
import type { Probe } from '@ephemera/lifecycle';
import { createProducers, createRefills } from '@ephemera/queue';
import { watchPolicy } from '@ephemera/config';
import {
  createHealthServer,
  createLifetime,
  createLogger,
  createMetrics,
  listen,
  registerClock,
  tellSkew,
} from '@ephemera/process';
import type { App, Lifetime, Logger } from '@ephemera/process';
import {
  connectRedis,
  createStore,
  keysOf,
  requireRedis,
  takeAsks,
  tellExpiring,
  watchClock,
  withHostLock,
} from '@ephemera/store';
import type { RedisAddress } from '@ephemera/store';
import { againstPolicy } from './against-policy.ts';
import { answerAsk } from './rpc/answer-ask.ts';
import { connectDocker } from './docker/connect-docker.ts';
import { QUICK, withDeadline, wordsOf } from './docker/deadline.ts';
import { dockerContainers } from './docker/docker-containers.ts';
import { hostName } from './docker/host-name.ts';
import { imagePulls } from './docker/pull-image.ts';
import { requireLimits } from './docker/require-limits.ts';
import { ensureNetwork } from './docker/instances-network.ts';
import { instancesNetworks } from './docker/instances-networks.ts';
import { keepLog } from './docker/keep-log.ts';
import { runInHostNetwork } from './docker/run-on-host.ts';
import { watchExits } from './docker/watch-exits.ts';
import type { Exit } from './docker/watch-exits.ts';
import type { EgressRules } from './firewall-rules.ts';
import { createFirewall, runHere } from './firewall.ts';
import { hostCapacity, withinNetworks } from './docker/host-capacity.ts';
import { guardStarts } from './guard-starts.ts';
import { inLanes } from './in-lanes.ts';
import { startJobWorker } from './job-worker.ts';
import { startKillWorker } from './kill-worker.ts';
import { lookAtParts } from './look-at-parts.ts';
import { hastenLateKills } from './late-kills.ts';
import { probe } from './probe.ts';
import { repeat } from './repeat.ts';
import { requireBounds } from './require-bounds.ts';
import { startRefillWorker } from './refill-worker.ts';
import { removeInLanes } from './remove-in-lanes.ts';
import { startSpawnWorker } from './spawn-worker.ts';
import { tellKills } from './tell-kills.ts';
import { startWebhooks, webhookDependencies } from './webhooks/start-webhooks.ts';
import type { WebhookDependencies } from './webhooks/start-webhooks.ts';
import { createWorkerMetrics } from './worker-metrics.ts';

const RECONCILE_EVERY = 10_000;
const BEAT_EVERY = 5_000;
/** Room that opens is used at once; these only make up for what was missed. */
const ADMIT_EVERY = 1_000;
const REFILL_EVERY = 5_000;
const ARM_REFILL_EVERY = 60_000;
const BURY_LOST_EVERY = 30_000;
const EXPIRING_EVERY = 1_000;
/** How many exits are looked into at once: all may end together. */
const EXITS_AT_ONCE = 32;

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

/** What a worker is made of; tests wrap or replace single parts. */
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

/** A worker beside one Docker daemon: starts, probes, kills and reconciles its containers. */
export function createWorker(
  config: WorkerConfig,
  dependencies: WorkerDependencies = workerDependencies,
): App {
  const logger = createLogger('worker', config.logLevel);
  const lifetime = createLifetime(logger);
  return {
    logger,
    start: () => startWorker(config, dependencies, { logger, lifetime }),
    stop: () => lifetime.stop(),
  };
}

async function startWorker(
  config: WorkerConfig,
  dependencies: WorkerDependencies,
  { logger, lifetime }: { readonly logger: Logger; readonly lifetime: Lifetime },
): Promise<void> {
  const { namespace } = config;
  const keys = keysOf(namespace);

  const onRedisError = (error: Error) => logger.warn({ err: error }, 'redis fault');
  const redis = connectRedis(config.redis, 'job', onRedisError);
  lifetime.onStop('redis', () => redis.quit());
  await requireRedis(redis, config.redis);

  const docker = dependencies.connectDocker(config.dockerHost);
  await withDeadline('ping', QUICK, docker.ping()).catch((error: unknown) => {
    throw new StartError(`Docker does not answer at ${config.dockerHost}: ${wordsOf(error)}`);
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
    portsEach: config.networkInstances,
    prepare: (network) => firewall.secure(network),
    keep: (found) => firewall.keep(found),
    logger,
  });

  const store = dependencies.createStore(redis, keys, config.tombstone);
  const { hosts, instances, line, pools, intake, progress, suspensions } = store;
  const jobs = dependencies.createProducers(redis, keys.queuePrefix);
  lifetime.onStop('queues', () => jobs.close());
  const { kills, spawns } = jobs;
  const refills = dependencies.createRefills(redis, keys.queuePrefix);
  lifetime.onStop('pool queue', () => refills.close());
  const capacity = await hostCapacity(docker, config.capacity);
  await hosts.offer(host, capacity);
  const pulls = imagePulls(docker, config.pullTimeout);
  const policy = watchPolicy(config.configFile, logger);
  lifetime.onStop('policy', () => policy.close());
  const containers = guardStarts(
    dependencies.createContainers({
      docker,
      namespace,
      host,
      networks,
      resolvers: config.egress.resolvers,
      now: () => instances.now(),
      pulls,
      cpuPeriod: config.cpuPeriod,
      inTurn: inLanes(config.spawnConcurrency),
      keepLog: keepLog(store.keptLogs, logger),
    }),
    [requireBounds(capacity.memory), againstPolicy(() => policy.current), firewall.objections],
  );
  // Very many may be due, exit or fail at one instant: each kind has lanes of its own and waits for no
  // other, and who waits for its turn here is withdrawn already.
  const inTurn = () => removeInLanes(containers, config.killConcurrency);
  const addresses = store.addresses(host);
  const registry = createMetrics('worker');
  const clock = watchClock({
    redis,
    onSkew: (ahead, isSkewed) => tellSkew(logger, ahead, isSkewed),
  });
  lifetime.onStop('clock', () => clock.stop());
  const metrics = createWorkerMetrics(registry, () => instances.count());
  const onKilled = tellKills(logger, metrics);
  registerClock(registry, () => clock.ahead);
  const late = hastenLateKills({
    kills,
    within: 2 * RECONCILE_EVERY,
    onFault: (err, id) => logger.warn({ err, id }, 'kill job not hastened'),
  });
  lifetime.onStop('late kills', () => late.stop());

  // Before the work, so that it is there until that has stopped.
  let isServing = false;
  const pings = { redis: () => redis.ping(), docker: () => docker.ping() };
  const readiness = () => lookAtParts(isServing && !lifetime.stopping, pings);
  const health = createHealthServer({ readiness, metrics: registry });
  await listen(health, { host: config.bind, port: config.port });
  lifetime.onStop('health', () => health.close());

  const underWay = new Set<string>();
  const repaired = inTurn();
  const reconcileNow = async (): Promise<void> => {
    const ended = metrics.reconcileSeconds.startTimer();
    try {
      await dependencies.reconcile({
        host,
        instances,
        containers: repaired,
        kills,
        underWay,
        spawns,
        onLease: (instance, remaining) => late.expect(instance, remaining),
        onKilled,
        onRepair(kind, id, generation) {
          metrics.repairs.inc({ kind });
          logger.info({ id, generation, kind }, 'repaired');
        },
        onFault(kind, id, error) {
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
    const stop = await startWebhooks(
      { webhooks, redis, blocking, keys, logger },
      { ...dependencies.webhooks, startJobWorker: dependencies.startJobWorker },
    );
    lifetime.onStop('webhooks', stop);
  }

  // What became overdue while nobody was here goes before anything new is started; whoever held
  // the lock may have died with it.
  await reconcileNow();

  const options = {
    connection: redis,
    prefix: keys.queuePrefix,
    logger,
    metrics,
    startJobWorker: dependencies.startJobWorker,
  };
  const ending = { instances, containers, kills, onKilled };
  const killWorker = startKillWorker({ ...ending, containers: inTurn() }, host, options);
  const spawnWorker = startSpawnWorker(
    {
      ...ending,
      containers: inTurn(),
      host,
      addresses,
      probe: dependencies.probe,
      progress,
      pause: sleep,
    },
    options,
  );
  killWorker.worker.on('completed', () => {
    letIn().catch((error: unknown) => logger.warn({ err: error }, 'queue not looked at'));
  });
  const refillWorker = startRefillWorker(
    {
      instances,
      ends: jobs.ends,
      spawns,
      pools,
      intake,
    },
    options,
  );
  lifetime.onStop('refill worker', () => refillWorker.close());

  const asking = connectRedis(config.redis, 'watch', onRedisError);
  const answering = { docker, namespace, host, suspensions, instances, containers, kills };
  const looks = inLanes(EXITS_AT_ONCE);
  const exited: typeof containers = {
    ...inTurn(),
    inspect: (id) => looks(() => containers.inspect(id)),
    running: (id) => looks(() => containers.running(id)),
  };
  const stopping = new AbortController();
  const { signal } = stopping;
  const loops = [
    repeat('reconcile', RECONCILE_EVERY, reconcileOnce, { signal, logger }),
    // Beside it: neither may hold up the other.
    repeat('networks', RECONCILE_EVERY, keepNetworks, { signal, logger }),
    repeat('beat', BEAT_EVERY, beat, { signal, logger }),
    repeat('admit', ADMIT_EVERY, letIn, { signal, logger }),
    repeat('lost hosts', BURY_LOST_EVERY, buryLostOnce, { signal, logger }),
    // Again and again: a Redis that lost everything has lost it too.
    repeat('refill', ARM_REFILL_EVERY, () => refills.every(REFILL_EVERY), { signal, logger }),
    watchExits(docker, { namespace, host }, { onExit, onDaemon: assertFirewall }, signal),
    repeat('expiring', EXPIRING_EVERY, tellOfDeadlines, { signal, logger }),
    takeAsks({
      redis,
      blocking: asking,
      keys,
      host,
      answer: (ask) => answerAsk(answering, ask),
      signal,
    }),
  ];
  lifetime.onStop('loops', async () => {
    stopping.abort();
    asking.disconnect();
    await Promise.all(loops);
  });

  // Last, to stop first, and both at once: what is under way has its time from the signal on.
  lifetime.onStop('jobs', () => Promise.all([spawnWorker.stop(), killWorker.stop()]));

  isServing = true;
  logger.info({ host, networks: networks.all }, 'worker ready');

  async function keepNetworks(): Promise<void> {
    try {
      await networks.refresh();
    } finally {
      await firewall.assert();
    }
  }

  async function tellOfDeadlines(): Promise<void> {
    await tellExpiring(redis, keys, await instances.now());
  }

  async function buryLostOnce(): Promise<void> {
    const buried = await buryLost({ instances, hosts, onKilled });
    if (buried.length > 0) logger.warn({ ids: buried }, 'instances of lost hosts buried');
  }

  async function letIn(): Promise<void> {
    const admitted = await admit({ line, spawns });
    if (admitted.length > 0) logger.info({ ids: admitted }, 'let in from the queue');
  }

  async function beat(): Promise<void> {
    await withDeadline('ping', QUICK, docker.ping());
    await hosts.offer(host, withinNetworks(capacity, networks.most));
    await hosts.beat(host, await instances.now());
  }

  /** A daemon that has just come back may have built its chains anew. */
  function assertFirewall(): void {
    firewall.assert().catch((error: unknown) => logger.warn({ err: error }, 'rules not looked at'));
  }

  function onExit(exit: Exit): void {
    endExited({ ...ending, containers: exited, host }, exit).catch((error: unknown) =>
      logger.warn({ err: error, id: exit.id }, 'exit not handled'),
    );
  }
}
