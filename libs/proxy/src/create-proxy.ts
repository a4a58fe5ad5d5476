import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { requireFile, watchConfig, watchKeys } from '@ephemera/config';
import type { TemplateSet } from '@ephemera/config';
import { DEFAULT_CELL } from '@ephemera/domain';
import type { Instance, Template } from '@ephemera/domain';
import {
  createAuthThrottle,
  createTokens,
  lingerOnClose,
  parseTrustedProxies,
} from '@ephemera/http';
import {
  createShutdown,
  createLogger,
  createMetrics,
  listen,
  registerClockSkewMetric,
  registerConfigMetric,
} from '@ephemera/process';
import type { App, Registry, Shutdown, Logger } from '@ephemera/process';
import { accessLog } from './access-log.ts';
import { causeAccess } from './access/cause-access.ts';
import { cellDependencies, connectCell, portsById } from './cell.ts';
import type { Cell, CellConfig, CellDependencies } from './cell.ts';
import { createAdminApi } from './control-plane/admin-api.ts';
import { ActivityReport } from './data-plane/activity.ts';
import { createDataPlane } from './data-plane/data-plane.ts';
import type { RequestFacts } from './data-plane/routed-request.ts';
import { createPublicServer } from './data-plane/public-server.ts';
import { createUpstreamPools } from './data-plane/upstream/pool.ts';
import { failurePageWithRestart } from './failure-page.ts';
import { InFlightRequests } from './in-flight-requests.ts';
import { isReachable } from './launch/is-reachable.ts';
import { createLaunchApp } from './launch/launch-app.ts';
import { keepPoolSpecs } from './launch/sync-pool-specs.ts';
import { CLOSE_TIMEOUT_MS } from './limits.ts';
import { missingBasePath } from './missing-base-path.ts';
import {
  countRefusedConnections,
  countRetries,
  countStarts,
  countUpstreamFailures,
  registerDataPlaneMetrics,
  registerRouteMetrics,
  registerUsageMetrics,
} from './proxy-metrics.ts';
import { RequestMetrics } from './request-metrics.ts';
import { resumeOnRequest } from './resume-on-request.ts';
import { clientAddress } from './starting/client-address.ts';
import { requireKeys } from './starting/signed-link.ts';
import type { Starter } from './starting/start-instance.ts';
import { WarningReport } from './warning-report.ts';
import { loadTheme } from './waiting/theme.ts';
import type { ThemeName } from './waiting/theme.ts';
import { sendWaitingPage } from './waiting/waiting-page.ts';

const { version } = createRequire(import.meta.url)('../package.json') as { version: string };

/** Settings of a proxy replica; durations in milliseconds. */
export interface ProxyConfig extends CellConfig {
  readonly logLevel: string;
  readonly bind: string;
  readonly publicPort: number;
  readonly adminPort: number;
  readonly adminBind: string;
  /** Host names that the admin port answers to, in addition to addresses and `localhost`. */
  readonly adminNames: readonly string[];
  readonly adminToken: string | undefined;
  readonly signingKeys: string | undefined;
  readonly signingKeysFile: string | undefined;
  readonly templatesPath: string;
  readonly prefix: string;
  readonly publicUrl: string;
  readonly domain: string | undefined;
  readonly trustedProxies: readonly string[];
  /** Connections of one IPv4 address or IPv6 /64 to the public port. */
  readonly connectionsPerAddress: number;
  /** Open WebSockets of one instance. */
  readonly webSocketsPerInstance: number;
  /** Whether each request is logged. */
  readonly accessLog: boolean;
  readonly startWait: number;
  readonly theme: ThemeName;
  readonly themeFile: string | undefined;
  readonly responseTimeout: number;
  /** Bytes of a request head. */
  readonly maxRequestHeader: number;
  /** Header lines of a request. */
  readonly maxRequestFields: number;
  /** Bytes of a response head of an instance. */
  readonly maxResponseHeader: number;
  readonly unreadyFor: number;
  readonly drainFor: number;
}

/** The components of a proxy. Tests wrap or replace single ones. */
export interface ProxyDependencies extends CellDependencies {
  /** The connections to instances. */
  readonly createUpstreamPools: typeof createUpstreamPools;
}

export const proxyDependencies: ProxyDependencies = {
  ...cellDependencies,
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
  const keysToSign = watchKeys(
    { keys: config.signingKeys, file: config.signingKeysFile },
    logger,
    () => {
      // Templates may have been refused because there was no key.
      if (templates.issues.length > 0) templates.reload();
    },
  );
  const { templatesPath } = config;
  const templates = watchConfig(templatesPath, logger, (file) => {
    const set = requireFile(templatesPath, file);
    requireKeys(set, keysToSign);
    return set;
  });
  const tokens = createTokens(config.adminToken, () => templates.current.tokens);
  const theme = loadTheme(config.theme, config.themeFile);
  shutdown.onShutdown('signing keys', () => keysToSign.close());
  shutdown.onShutdown('templates', () => templates.close());

  const cell = await connectCell(config, dependencies, {
    ...{ logger, shutdown },
    signer: keysToSign,
  });
  const ids = portsById(new Map([[DEFAULT_CELL, cell]]));
  const { instances, hosts, rates, pools } = cell.store;
  const metrics = createMetrics('proxy');
  registerClockSkewMetric(metrics, () => cell.clock.skewMs);
  registerConfigMetric(metrics, () => templates.issues.length === 0);

  const { domain, prefix, publicUrl } = config;
  const urlOf = (id: string) =>
    domain === undefined
      ? `${publicUrl}/${prefix}/${id}/`
      : `${new URL(publicUrl).protocol}//${id}.${domain}/`;
  await keepPoolSpecs({ pools, refills: cell.refills }, templates, urlOf, { logger, shutdown });

  const stopsWithin = config.unreadyFor + config.drainFor + CLOSE_TIMEOUT_MS;
  const inFlight = new InFlightRequests();
  const { stopping } = inFlight;
  const trusted = parseTrustedProxies(config.trustedProxies);
  /** What the control API and the start of instances by visitors have in common. */
  const shared = {
    starter: createStarter(cell, {
      currentTemplates: () => templates.current,
      urlOf,
      onStarted: countStarts(metrics),
      logger,
    }),
    tokens,
    // Shared by all interfaces and replicas, so that each address has one count.
    authThrottle: createAuthThrottle(cell.redis, cell.keys.rate('auth')),
    keys: keysToSign,
    rates,
    addressOf: (req: IncomingMessage) => clientAddress(req, trusted),
    logger,
  };

  const usageOf = (template: Template) => cell.store.readTemplateUsage(template, urlOf('{id}'));
  registerUsageMetrics(metrics, () =>
    Promise.all(
      [...templates.current.templates.values()].map(async (template) => ({
        template: template.name,
        ...(await usageOf(template)),
      })),
    ),
  );
  const now = () => instances.now();
  const administer = createAdminApi({
    ...shared,
    stopping,
    // The command line tool uses the name that the port is bound to.
    names: [...config.adminNames, config.adminBind],
    publicUrl: `${publicUrl}/${prefix}`,
    visitors: { url: publicUrl, prefix },
    version,
    metrics,
    // Ready only if a start would succeed: routes can be read and invalidated, and a host is alive.
    parts: {
      routes: () => cell.routes.connected,
      worker: async () => (await hosts.alive(await now())).length > 0,
      running: () => !shutdown.stopping,
    },
    configFile: templates,
    readUsage: {
      hosts: () => cell.store.readCapacity(),
      of: usageOf,
    },
    hosts,
    hostRegistry: cell.store.hostRegistry,
    instances: { get: ids.instances.get, list: (query) => instances.list(query), now },
    routes: ids.routes,
    events: cell.events,
    hostRpc: ids.hostRpc,
    logArchive: ids.logArchive,
    warnings: ids.warnings,
    certificates: { routes: ids.routes, domain, prefix },
    killPorts: ids,
    renewPorts: { ...ids, now },
  }).callback();
  const admin = createServer(inFlight.track(administer));
  lingerOnClose(admin);
  const closeAdminPort = async () => {
    admin.close();
    // Wait for requests that arrived while the public port drained.
    await inFlight.drain(config.drainFor);
  };
  shutdown.onShutdown('admin port', closeAdminPort, stopsWithin);

  const activity = new ActivityReport(ids.leases, logger);
  activity.start();
  shutdown.onShutdown('activity', () => activity.stop());
  const waiting = { ...ids, prefix, theme, stopping };
  const warningReport = new WarningReport({
    warnings: ids.warnings,
    logger,
    now: () => cell.clock.now(),
  });
  const countFailure = countUpstreamFailures(metrics);
  const mayReadCause = causeAccess({
    ...shared,
    ...ids,
    // Pages of instances can make their visitors present wrong tokens, so these count separately.
    authThrottle: createAuthThrottle(cell.redis, cell.keys.rate('cause')),
  });
  const explainNotFound = missingBasePath({
    ...ids,
    prefix,
    publicUrl,
    domain,
    report: warningReport,
    logger,
  });
  const onRefused = countRefusedConnections(metrics);
  const dataPlane = createDataPlane({
    explainNotFound,
    activity,
    routes: resumeOnRequest({ ...ids, logger }),
    prefix,
    domain,
    scheme: publicUrl.startsWith('https:') ? 'https' : 'http',
    publicPath: new URL(publicUrl).pathname,
    trustedProxies: config.trustedProxies,
    startWait: config.startWait,
    responseTimeout: config.responseTimeout,
    maxRequestFields: config.maxRequestFields,
    maxResponseHead: config.maxResponseHeader,
    sendFailure: failurePageWithRestart({
      ...ids,
      prefix,
      publicUrl,
      mayReadCause,
      addressOf: shared.addressOf,
      logger,
    }),
    waitingPage: (req, res, id) => sendWaitingPage(waiting, req, res, id),
    onUpstreamFailure: (reason, { id, detail, isOfInstance }) => {
      countFailure(reason);
      if (isOfInstance) warningReport.save(id, { kind: 'upstream_failure', detail });
    },
    onRetry: countRetries(metrics),
    onRequestEnd: createRequestObserver(config, { metrics, logger, addressOf: shared.addressOf }),
    webSocketsPerInstance: config.webSocketsPerInstance,
    onWebSocketRefused: () => onRefused('instance'),
    createUpstreamPools: dependencies.createUpstreamPools,
    logger,
  });
  const launch = createLaunchApp({
    ...shared,
    now,
    prefix,
    publicUrl,
    domain,
    waiting,
    explainNotFound,
  }).callback();
  const server = createPublicServer(dataPlane, inFlight.track(launch), {
    maxRequestHead: config.maxRequestHeader,
    connections: { perAddress: config.connectionsPerAddress, trusted, onRefused, logger },
  });
  registerRouteMetrics(metrics, cell.routes);
  registerDataPlaneMetrics(metrics, {
    inFlight: () => dataPlane.inFlight(),
    openTunnels: () => dataPlane.openTunnels(),
    upstreamConnections: () => dataPlane.upstreamConnections(),
    clientConnections: promisify(server.getConnections.bind(server)),
  });
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
}

/** Measures each request, and logs it if the configuration says so. */
function createRequestObserver(
  { accessLog: isLogged }: Pick<ProxyConfig, 'accessLog'>,
  {
    metrics,
    logger,
    addressOf,
  }: {
    readonly metrics: Registry;
    readonly logger: Logger;
    readonly addressOf: (req: IncomingMessage) => string;
  },
): (facts: RequestFacts) => void {
  const requests = new RequestMetrics(metrics);
  if (!isLogged) return (facts) => requests.add(facts);
  const log = accessLog(logger, addressOf);
  return (facts) => {
    requests.add(facts);
    log(facts);
  };
}

/** Starts instances in a cell. */
function createStarter(
  { spawns, killJobs, killRequests, refills, routes, store }: Cell,
  {
    currentTemplates,
    urlOf,
    onStarted,
    logger,
  }: Pick<Starter, 'urlOf' | 'onStarted'> & {
    readonly currentTemplates: () => TemplateSet;
    readonly logger: Logger;
  },
): Starter {
  return {
    ...{ spawns, killJobs, killRequests, refills },
    ...{ intake: store.intake, instances: store.instances },
    // If the store cannot answer, the data path checks the registration later.
    isReachable: async (instance: Instance) => {
      const { host, address = '' } = instance;
      return (await routes.isRegistered(host, address).catch(() => true)) && isReachable(instance);
    },
    onError: (error: unknown) =>
      logger.warn({ err: error }, 'clean-up after a claim failed; reconciliation repairs it'),
    get templates() {
      return currentTemplates();
    },
    urlOf,
    onStarted,
  };
}

/**
 * Counts the memory of buffers against the heap limit, like all other memory. By default V8 collects
 * the whole heap after every 50 MB of new buffers, however short their life: a third of the CPU time
 * of large uploads. See docs/PERFORMANCE.md.
 */
function countExternalMemoryInHeapLimit(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit');
}
