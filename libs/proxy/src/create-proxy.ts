import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { requireFile, watchConfig, watchKeys } from '@ephemera/config';
import type { Template } from '@ephemera/domain';
import { createTokens, lingerOnClose } from '@ephemera/http';
import {
  createShutdown,
  createLogger,
  createMetrics,
  listen,
  startTracing,
  registerClockSkewMetric,
  registerConfigMetric,
} from '@ephemera/process';
import type { App, Shutdown, Logger, TracingConfig } from '@ephemera/process';
import { readRedisMemory } from '@ephemera/store';
import manifest from '../package.json' with { type: 'json' };
import { cellDependencies, connectCell } from './cell.ts';
import type { CellConfig, CellDependencies } from './cell.ts';
import { createAdminApi } from './control-plane/admin-api.ts';
import { UPLOAD_TIMEOUT_MS } from './control-plane/files-api.ts';
import { limitRequestTime } from './control-plane/request-time.ts';
import { limitConnections, maxAdminConnections } from './data-plane/connection-limits.ts';
import { createPublicServer } from './data-plane/public-server.ts';
import { createUpstreamPools } from './data-plane/upstream/pool.ts';
import { keepPoolSpecs } from './launch/sync-pool-specs.ts';
import { CLOSE_TIMEOUT_MS } from './limits.ts';
import {
  registerHostMetrics,
  registerRedisMemoryMetrics,
  registerUsageMetrics,
} from './deployment-metrics.ts';
import { registerConnectionMetric } from './proxy-metrics.ts';
import { createPublicInterface, instanceUrls, observeRequests } from './public-interface.ts';
import type { PublicInterfaceConfig } from './public-interface.ts';
import { requireKeys } from './starting/signed-link.ts';
import { continueTrace } from './trace-context.ts';
import { loadTheme } from './waiting/theme.ts';
import type { ThemeName } from './waiting/theme.ts';

const { version } = manifest;

/** Settings of a proxy replica; durations in milliseconds. */
export interface ProxyConfig extends CellConfig, PublicInterfaceConfig {
  readonly logLevel: string;
  /** Undefined: no traces are recorded. */
  readonly tracing?: TracingConfig | undefined;
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
  readonly theme: ThemeName;
  readonly themeFile: string | undefined;
  /** Bytes of a request head. */
  readonly maxRequestHeader: number;
  readonly unreadyFor: number;
  readonly drainFor: number;
}

/** The components of a proxy. Tests wrap or replace single ones. */
export interface ProxyDependencies extends CellDependencies {
  /** The connections to instances. */
  readonly createUpstreamPools: typeof createUpstreamPools;
  /** Measures each request. A benchmark leaves it out, to learn what it costs. */
  readonly observeRequests: typeof observeRequests;
}

export const proxyDependencies: ProxyDependencies = {
  ...cellDependencies,
  createUpstreamPools,
  observeRequests,
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
  const service = { name: 'ephemera-proxy', version, namespace: config.namespace };
  const tracing = await startTracing(config.tracing, service, { logger, shutdown });
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
  const { instances, hosts, pools } = cell.store;
  const metrics = createMetrics('proxy');
  registerClockSkewMetric(metrics, () => cell.clock.skewMs);
  registerConfigMetric(metrics, () => templates.issues.length === 0);

  const urlOf = instanceUrls(config);
  await keepPoolSpecs({ pools, refills: cell.refills }, templates, urlOf, { logger, shutdown });

  const stopsWithin = config.unreadyFor + config.drainFor + CLOSE_TIMEOUT_MS;
  const { shared, ids, inFlight, activity, dataPlane, launch, connections } = createPublicInterface(
    config,
    {
      cell,
      templates,
      tokens,
      keys: keysToSign,
      theme,
      metrics,
      createUpstreamPools: dependencies.createUpstreamPools,
      observeRequests: dependencies.observeRequests,
      tracing,
      logger,
    },
  );

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
  registerHostMetrics(metrics, async () => {
    const [statuses, cordons] = await Promise.all([
      hosts.hostStatuses(await now()),
      hosts.cordons(),
    ]);
    const capacities = await hosts.capacitiesOf(statuses.map(({ host }) => host));
    return statuses.flatMap(({ host, alive }, i) => {
      const capacity = capacities[i];
      return capacity ? [{ host, alive, ...capacity, isCordoned: cordons.has(host) }] : [];
    });
  });
  registerRedisMemoryMetrics(metrics, () => readRedisMemory(cell.redis));
  const administer = createAdminApi({
    ...shared,
    stopping: inFlight.stopping,
    // The command line tool uses the name that the port is bound to.
    names: [...config.adminNames, config.adminBind],
    publicUrl: `${config.publicUrl}/${config.prefix}`,
    visitors: { url: config.publicUrl, prefix: config.prefix },
    version,
    metrics,
    // A client with a token may decide which traces are recorded.
    ...(tracing && { continueTrace: continueTrace() }),
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
    stableNames: cell.store.names,
    routes: ids.routes,
    events: cell.events,
    hostRpc: ids.hostRpc,
    hostConnections: ids.hostConnections,
    logArchive: ids.logArchive,
    warnings: ids.warnings,
    certificates: { routes: ids.routes, domain: config.domain, prefix: config.prefix },
    killPorts: ids,
    renewPorts: { ...ids, now },
  }).callback();
  const admin = createServer({ requestTimeout: UPLOAD_TIMEOUT_MS }, inFlight.track(administer));
  limitRequestTime(admin);
  // Followed logs, events and commands may hold connections for hours.
  limitConnections(admin, { total: maxAdminConnections(), trusted: connections.trusted, logger });
  lingerOnClose(admin);
  const closeAdminPort = async () => {
    admin.close();
    // Wait for requests that arrived while the public port drained.
    await inFlight.drain(config.drainFor);
  };
  shutdown.onShutdown('admin port', closeAdminPort, stopsWithin);

  activity.start();
  shutdown.onShutdown('activity', () => activity.stop());
  const server = createPublicServer(dataPlane, inFlight.track(launch), {
    maxRequestHead: config.maxRequestHeader,
    connections,
  });
  registerConnectionMetric(metrics, server);
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

/**
 * Counts the memory of buffers against the heap limit, like all other memory. By default V8 collects
 * the whole heap after every 50 MB of new buffers, however short their life: a third of the CPU time
 * of large uploads. See docs/PERFORMANCE.md.
 */
function countExternalMemoryInHeapLimit(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit');
}
