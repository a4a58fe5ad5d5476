import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { createProducers, createRefills } from '@ephemera/queue';
import { watchTemplates } from '@ephemera/config';
import { createTokens, readTrusted } from '@ephemera/http';
import {
  createLifetime,
  createLogger,
  createMetrics,
  listen,
  registerClock,
  tellSkew,
} from '@ephemera/process';
import type { App, Lifetime, Logger } from '@ephemera/process';
import {
  EventFeed,
  RedisAsks,
  RouteCache,
  connectRedis,
  connectTracking,
  createStore,
  keysOf,
  readRoom,
  readTemplateRoom,
  requireRedis,
  trackRoutes,
  watchClock,
} from '@ephemera/store';
import type { RedisAddress, RouteCacheOptions } from '@ephemera/store';
import { ActivityReport } from './activity-report.ts';
import { createAdminApi } from './control-plane/admin-api.ts';
import { createDataPath } from './data-plane/data-path.ts';
import { createUpstreamPools } from './data-plane/upstream/agents.ts';
import { createPublicServer } from './data-plane/public-server.ts';
import { clientAddress } from './launch/client-address.ts';
import { createEntrance } from './launch/entrance.ts';
import { publishPools } from './launch/publish-pools.ts';
import { requireKeys, watchKeys } from './launch/watch-keys.ts';
import { reachWarm } from './launch/reach-warm.ts';
import { offeringAnother } from './offer-another.ts';
import { registerDataPathMetrics } from './proxy-metrics.ts';
import { UnderWay } from './under-way.ts';
import { loadTheme, type ThemeName } from './waiting/theme.ts';
import { answerWaiting } from './waiting/waiting-room.ts';
import { weighBuffers } from './weigh-buffers.ts';
import { wakePaused } from './wake-paused.ts';

const { version } = createRequire(import.meta.url)('../package.json') as { version: string };

/** What closing the public port may take beyond what it is told to wait, milliseconds. */
const CLOSE_WITHIN = 5_000;
/** How often it is made sure that the workers know what to keep warm, milliseconds. */
const TELL_POOLS_EVERY = 30_000;

/** Settings of a proxy replica; durations in milliseconds. */
export interface ProxyConfig {
  readonly redis: RedisAddress;
  readonly namespace: string;
  readonly logLevel: string;
  readonly bind: string;
  readonly publicPort: number;
  readonly adminPort: number;
  readonly adminBind: string;
  readonly adminToken: string | undefined;
  readonly signingKeys: string | undefined;
  readonly signingKeysFile: string | undefined;
  readonly templatesPath: string;
  readonly prefix: string;
  readonly publicUrl: string;
  readonly domain: string | undefined;
  readonly trustedProxies: readonly string[];
  readonly holdFor: number;
  readonly theme: ThemeName;
  readonly themeFile: string | undefined;
  readonly responseTimeout: number;
  readonly redisGrace: number;
  readonly unreadyFor: number;
  readonly drainFor: number;
  readonly routes: number;
  readonly tombstone: number;
}

/** What a proxy is made of; tests wrap or replace single parts. */
export interface ProxyDependencies {
  readonly createStore: typeof createStore;
  readonly createProducers: typeof createProducers;
  readonly createRefills: typeof createRefills;
  readonly createRoutes: (options: RouteCacheOptions) => RouteCache;
  /** The connections to instances. */
  readonly createUpstreamPools: typeof createUpstreamPools;
}

export const proxyDependencies: ProxyDependencies = {
  createStore,
  createProducers,
  createRefills,
  createRoutes: (options) => new RouteCache(options),
  createUpstreamPools,
};

/** A stateless replica: forwards traffic to instances, starts them, and serves the control API. */
export function createProxy(
  config: ProxyConfig,
  dependencies: ProxyDependencies = proxyDependencies,
): App {
  const logger = createLogger('proxy', config.logLevel);
  const lifetime = createLifetime(logger);
  return {
    logger,
    start: () => startProxy(config, dependencies, { logger, lifetime }),
    stop: () => lifetime.stop(),
  };
}

async function startProxy(
  config: ProxyConfig,
  dependencies: ProxyDependencies,
  { logger, lifetime }: { readonly logger: Logger; readonly lifetime: Lifetime },
): Promise<void> {
  weighBuffers();
  const templates = watchTemplates(config.templatesPath, logger);
  const tokens = createTokens(config.adminToken, () => templates.current.tokens);
  const theme = loadTheme(config.theme, config.themeFile);
  const keysToSign = watchKeys({ keys: config.signingKeys, file: config.signingKeysFile }, logger);
  requireKeys(templates.current, keysToSign);
  lifetime.onStop('signing keys', () => keysToSign.close());
  lifetime.onStop('templates', () => templates.close());
  const keys = keysOf(config.namespace);

  const onError = (error: Error) => logger.warn({ err: error }, 'redis fault');
  const redis = connectRedis(config.redis, 'request', onError);
  lifetime.onStop('redis', () => redis.disconnect());
  await requireRedis(redis, config.redis);

  const routes = dependencies.createRoutes({
    redis,
    trackingRedis: () => connectTracking(config.redis, onError),
    trackRoutes,
    keys,
    grace: config.redisGrace,
    capacity: config.routes,
  });
  await routes.start();
  lifetime.onStop('routes', () => routes.stop());

  const store = dependencies.createStore(redis, keys, config.tombstone);
  const { instances, leases, hosts, rates, pools, intake, keptLogs } = store;
  const clock = watchClock({
    redis,
    onSkew: (ahead, isSkewed) => tellSkew(logger, ahead, isSkewed),
  });
  lifetime.onStop('clock', () => clock.stop());
  const jobs = dependencies.createProducers(redis, keys.queuePrefix, clock.now);
  lifetime.onStop('queues', () => jobs.close());
  const metrics = createMetrics('proxy');
  registerClock(metrics, () => clock.ahead);
  const events = new EventFeed({
    redis,
    blocking: connectRedis(config.redis, 'watch', onError),
    keys,
  });
  events.start();
  lifetime.onStop('events', () => events.stop());
  const asks = new RedisAsks({
    redis,
    subscriber: connectRedis(config.redis, 'job', onError),
    keys,
  });
  await asks.start();
  lifetime.onStop('asks', () => asks.stop());

  const { domain, prefix, publicUrl } = config;
  const urlOf = (id: string) =>
    domain === undefined
      ? `${publicUrl}/${prefix}/${id}/`
      : `${new URL(publicUrl).protocol}//${id}.${domain}/`;
  const refills = dependencies.createRefills(redis, keys.queuePrefix, clock.now);
  lifetime.onStop('pool queue', () => refills.close());
  const publish = () => publishPools({ pools, refills }, templates.current, urlOf, logger);
  await publish();
  const retell = setInterval(() => void tellAgain(), TELL_POOLS_EVERY);
  lifetime.onStop('pools', () => clearInterval(retell));
  templates.onChange(() => {
    publish().catch((error: unknown) => logger.warn({ err: error }, 'pools not told'));
  });
  const starter = {
    ...jobs,
    intake,
    instances,
    refills,
    reach: reachWarm,
    onFault: (error: unknown) => logger.warn({ err: error }, 'claim not settled'),
    get templates() {
      return templates.current;
    },
    urlOf,
  };

  const stopsWithin = config.unreadyFor + config.drainFor + CLOSE_WITHIN;
  const underWay = new UnderWay();
  const { stopping } = underWay;
  const trusted = readTrusted(config.trustedProxies);
  const addressOf = (req: IncomingMessage) => clientAddress(req, trusted);
  const administer = createAdminApi({
    stopping,
    addressOf,
    tokens,
    keys: keysToSign,
    rates,
    publicUrl: `${publicUrl}/${prefix}`,
    version,
    metrics,
    // Ready only when the whole job would work: routes, their invalidation, and a host to start on.
    parts: {
      routes: () => routes.connected,
      worker: async () => (await hosts.alive(await instances.now())).length > 0,
      running: () => !lifetime.stopping,
    },
    starter,
    room: {
      hosts: async () => readRoom(redis, keys, await instances.now()),
      of: (template) => readTemplateRoom(redis, keys, template, urlOf('{id}')),
    },
    instances,
    routes,
    events,
    asks,
    keptLogs,
    logger,
    killPorts: { instances, ends: jobs.ends },
    renewPorts: {
      leases,
      kills: jobs.kills,
      now: () => instances.now(),
    },
  }).callback();
  const admin = createServer(underWay.counted(administer));
  const closeAdminPort = async () => {
    admin.close();
    // What was asked here while the public port drained.
    await underWay.drain(config.drainFor);
  };
  lifetime.onStop('admin port', closeAdminPort, stopsWithin);

  const activity = new ActivityReport(leases, logger);
  activity.start();
  lifetime.onStop('activity', () => activity.stop());
  const waiting = { routes, instances, prefix, theme, stopping };
  const dataPath = createDataPath({
    activity,
    routes: wakePaused({ routes, instances, asks, logger }),
    prefix,
    domain,
    scheme: publicUrl.startsWith('https:') ? 'https' : 'http',
    trustedProxies: config.trustedProxies,
    holdFor: config.holdFor,
    responseTimeout: config.responseTimeout,
    answerFailure: offeringAnother({ prefix, publicUrl, instances, templates }),
    waitingPage: (req, res, id) => answerWaiting(waiting, req, res, id),
    createUpstreamPools: dependencies.createUpstreamPools,
    logger,
  });
  registerDataPathMetrics(metrics, dataPath);
  const server = createPublicServer(
    dataPath,
    underWay.counted(
      createEntrance({
        starter,
        tokens,
        keys: keysToSign,
        rates,
        now: () => instances.now(),
        prefix,
        publicUrl,
        domain,
        addressOf,
        waiting,
        logger,
      }).callback(),
    ),
  );
  await listen(server, { host: config.bind, port: config.publicPort, reusePort: true });
  const closePublicPort = async () => {
    // First the balancer hears that nothing more should come, then the port closes.
    await sleep(config.unreadyFor);
    server.close();
    await Promise.all([dataPath.drain(config.drainFor), underWay.drain(config.drainFor)]);
  };
  lifetime.onStop('public port', closePublicPort, stopsWithin);
  // Last: who is told that this replica is ready sends requests at once.
  await listen(admin, { host: config.adminBind, port: config.adminPort });
  logger.info({ publicPort: config.publicPort, adminPort: config.adminPort }, 'proxy ready');

  /** A Redis that lost everything has lost what is to be kept warm too. */
  async function tellAgain(): Promise<void> {
    try {
      if ((await pools.wishes()).length === 0) await publish();
    } catch (error) {
      logger.warn({ err: error }, 'pools not told');
    }
  }
}
