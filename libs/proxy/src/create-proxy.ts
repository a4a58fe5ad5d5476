import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { watchTemplates } from '@ephemera/config';
import type { Instance } from '@ephemera/domain';
import { createAuthThrottle, createTokens, parseTrustedProxies } from '@ephemera/http';
import {
  createShutdown,
  createLogger,
  createMetrics,
  listen,
  registerClockSkewMetric,
  logClockSkew,
} from '@ephemera/process';
import type { App, Shutdown, Logger } from '@ephemera/process';
import { createProducers, createRefills } from '@ephemera/queue';
import {
  EventFeed,
  RedisHostRpc,
  RouteCache,
  connectRedis,
  connectTracking,
  createStore,
  keysOf,
  requireRedis,
  trackRoutes,
  watchClock,
} from '@ephemera/store';
import type { RedisAddress, RouteCacheOptions } from '@ephemera/store';
import { createAdminApi } from './control-plane/admin-api.ts';
import { ActivityReport } from './data-plane/activity.ts';
import { createDataPlane } from './data-plane/data-plane.ts';
import { createPublicServer } from './data-plane/public-server.ts';
import { createUpstreamPools } from './data-plane/upstream/pool.ts';
import { failurePageWithRestart } from './failure-page.ts';
import { InFlightRequests } from './in-flight-requests.ts';
import { isReachable } from './launch/is-reachable.ts';
import { createLaunchApp } from './launch/launch-app.ts';
import { syncPoolSpecs } from './launch/sync-pool-specs.ts';
import { countUpstreamFailures, registerDataPlaneMetrics } from './proxy-metrics.ts';
import { resumeOnRequest } from './resume-on-request.ts';
import { clientAddress } from './starting/client-address.ts';
import { requireKeys, watchKeys } from './starting/signed-link.ts';
import { loadTheme } from './waiting/theme.ts';
import type { ThemeName } from './waiting/theme.ts';
import { sendWaitingPage } from './waiting/waiting-page.ts';

const { version } = createRequire(import.meta.url)('../package.json') as { version: string };

/** Closing the public port may take this much longer than its configured periods, milliseconds. */
const CLOSE_TIMEOUT_MS = 5_000;
/** How often the proxy checks that Redis still has the pool specs, milliseconds. */
const SYNC_POOLS_INTERVAL_MS = 30_000;

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
  readonly startWait: number;
  readonly theme: ThemeName;
  readonly themeFile: string | undefined;
  readonly responseTimeout: number;
  readonly redisGrace: number;
  readonly unreadyFor: number;
  readonly drainFor: number;
  readonly routes: number;
  readonly tombstone: number;
}

/** The components of a proxy. Tests wrap or replace single ones. */
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
  const shutdown = createShutdown(logger);
  return {
    logger,
    start: () => startProxy(config, dependencies, { logger, shutdown }),
    stop: () => shutdown.stop(),
  };
}

async function startProxy(
  config: ProxyConfig,
  dependencies: ProxyDependencies,
  { logger, shutdown }: { readonly logger: Logger; readonly shutdown: Shutdown },
): Promise<void> {
  countExternalMemoryInHeapLimit();
  const templates = watchTemplates(config.templatesPath, logger);
  const tokens = createTokens(config.adminToken, () => templates.current.tokens);
  const theme = loadTheme(config.theme, config.themeFile);
  const keysToSign = watchKeys({ keys: config.signingKeys, file: config.signingKeysFile }, logger);
  requireKeys(templates.current, keysToSign);
  shutdown.onShutdown('signing keys', () => keysToSign.close());
  shutdown.onShutdown('templates', () => templates.close());
  const keys = keysOf(config.namespace);

  const onError = (error: Error) =>
    logger.warn({ err: error }, 'Redis connection error; reconnecting');
  const redis = connectRedis(config.redis, 'request', onError);
  shutdown.onShutdown('redis', () => redis.disconnect());
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
  shutdown.onShutdown('routes', () => routes.stop());

  // Shared by all interfaces and replicas, so that each address has one count.
  const authThrottle = createAuthThrottle(redis, keys.rate('auth'));
  const store = dependencies.createStore(redis, keys, config.tombstone);
  const { instances, leases, hosts, rates, pools, intake, logArchive } = store;
  const clock = watchClock({
    redis,
    onSkew: (skewMs, isSkewed) => logClockSkew(logger, skewMs, isSkewed),
  });
  shutdown.onShutdown('clock', () => clock.stop());
  const jobs = dependencies.createProducers(redis, keys.queuePrefix, clock.now);
  shutdown.onShutdown('queues', () => jobs.close());
  const metrics = createMetrics('proxy');
  registerClockSkewMetric(metrics, () => clock.skewMs);
  const events = new EventFeed({
    redis,
    blocking: connectRedis(config.redis, 'watch', onError),
    keys,
  });
  events.start();
  shutdown.onShutdown('events', () => events.stop());
  const hostRpc = new RedisHostRpc({
    redis,
    subscriber: connectRedis(config.redis, 'job', onError),
    keys,
  });
  await hostRpc.start();
  shutdown.onShutdown('host rpc', () => hostRpc.stop());

  const { domain, prefix, publicUrl } = config;
  const urlOf = (id: string) =>
    domain === undefined
      ? `${publicUrl}/${prefix}/${id}/`
      : `${new URL(publicUrl).protocol}//${id}.${domain}/`;
  const refills = dependencies.createRefills(redis, keys.queuePrefix, clock.now);
  shutdown.onShutdown('pool queue', () => refills.close());
  const publish = () => syncPoolSpecs({ pools, refills }, templates.current, urlOf, logger);
  await publish();
  const resync = setInterval(() => void syncIfLost(), SYNC_POOLS_INTERVAL_MS);
  shutdown.onShutdown('pools', () => clearInterval(resync));
  templates.onChange(() => {
    publish().catch((error: unknown) =>
      logger.warn({ err: error }, 'pool specs not written to Redis; send SIGHUP to try again'),
    );
  });
  const starter = {
    ...jobs,
    intake,
    instances,
    refills,
    // If the store cannot answer, the data path checks the registration later.
    isReachable: async (instance: Instance) => {
      const { host, address = '' } = instance;
      return (await routes.isRegistered(host, address).catch(() => true)) && isReachable(instance);
    },
    onError: (error: unknown) =>
      logger.warn({ err: error }, 'clean-up after a claim failed; reconciliation repairs it'),
    get templates() {
      return templates.current;
    },
    urlOf,
  };

  const stopsWithin = config.unreadyFor + config.drainFor + CLOSE_TIMEOUT_MS;
  const inFlight = new InFlightRequests();
  const { stopping } = inFlight;
  const trusted = parseTrustedProxies(config.trustedProxies);
  const addressOf = (req: IncomingMessage) => clientAddress(req, trusted);
  const administer = createAdminApi({
    stopping,
    addressOf,
    tokens,
    authThrottle,
    keys: keysToSign,
    rates,
    publicUrl: `${publicUrl}/${prefix}`,
    version,
    metrics,
    // Ready only if a start would succeed: routes can be read and invalidated, and a host is alive.
    parts: {
      routes: () => routes.connected,
      worker: async () => (await hosts.alive(await instances.now())).length > 0,
      running: () => !shutdown.stopping,
    },
    starter,
    readUsage: {
      hosts: () => store.readCapacity(),
      of: (template) => store.readTemplateUsage(template, urlOf('{id}')),
    },
    instances,
    routes,
    events,
    hostRpc,
    logArchive,
    logger,
    killPorts: { instances, killRequests: jobs.killRequests },
    renewPorts: {
      leases,
      killJobs: jobs.killJobs,
      now: () => instances.now(),
    },
  }).callback();
  const admin = createServer(inFlight.track(administer));
  const closeAdminPort = async () => {
    admin.close();
    // Wait for requests that arrived while the public port drained.
    await inFlight.drain(config.drainFor);
  };
  shutdown.onShutdown('admin port', closeAdminPort, stopsWithin);

  const activity = new ActivityReport(leases, logger);
  activity.start();
  shutdown.onShutdown('activity', () => activity.stop());
  const waiting = { routes, instances, prefix, theme, stopping };
  const dataPlane = createDataPlane({
    activity,
    routes: resumeOnRequest({ routes, instances, hostRpc, logger }),
    prefix,
    domain,
    scheme: publicUrl.startsWith('https:') ? 'https' : 'http',
    trustedProxies: config.trustedProxies,
    startWait: config.startWait,
    responseTimeout: config.responseTimeout,
    sendFailure: failurePageWithRestart({ prefix, publicUrl, instances, templates }),
    waitingPage: (req, res, id) => sendWaitingPage(waiting, req, res, id),
    onUpstreamFailure: countUpstreamFailures(metrics),
    createUpstreamPools: dependencies.createUpstreamPools,
    logger,
  });
  registerDataPlaneMetrics(metrics, dataPlane);
  const server = createPublicServer(
    dataPlane,
    inFlight.track(
      createLaunchApp({
        starter,
        tokens,
        authThrottle,
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
    // Become unready first, so that the load balancer stops sending requests. Then close the port.
    await sleep(config.unreadyFor);
    server.close();
    await Promise.all([dataPlane.drain(config.drainFor), inFlight.drain(config.drainFor)]);
  };
  shutdown.onShutdown('public port', closePublicPort, stopsWithin);
  // Last: a load balancer sends requests as soon as this replica reports that it is ready.
  await listen(admin, { host: config.adminBind, port: config.adminPort });
  logger.info({ publicPort: config.publicPort, adminPort: config.adminPort }, 'proxy ready');

  /** Publishes the pool specs again after Redis has lost its data. */
  async function syncIfLost(): Promise<void> {
    try {
      if ((await pools.listPoolSpecs()).length === 0) await publish();
    } catch (error) {
      logger.warn({ err: error }, 'pool specs not written to Redis; trying again in 30 s');
    }
  }
}

/**
 * Counts the memory of buffers against the heap limit, like all other memory. By default V8 collects
 * the whole heap after every 50 MB of new buffers, however short their life: a third of the CPU time
 * of large uploads. See docs/PERFORMANCE.md.
 */
function countExternalMemoryInHeapLimit(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit');
}
