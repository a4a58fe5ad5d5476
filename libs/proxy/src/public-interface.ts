import type { IncomingMessage, ServerResponse } from 'node:http';
import type { SigningKeys, TemplateSet } from '@ephemera/config';
import { DEFAULT_CELL, endpointOf } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import {
  createAuthThrottle,
  hostNameOf,
  isSameOrigin,
  isTrusted,
  parseTrustedProxies,
  peerAddress,
} from '@ephemera/http';
import type { TokenSet } from '@ephemera/http';
import type { ClaimResult, CreateResult } from '@ephemera/lifecycle';
import type { Logger, Registry, Tracing } from '@ephemera/process';
import { accessLog } from './access-log.ts';
import { causeAccess } from './access/cause-access.ts';
import { portsById } from './cell.ts';
import type { Cell } from './cell.ts';
import { ActivityReport } from './data-plane/activity.ts';
import type { ConnectionLimits } from './data-plane/connection-limits.ts';
import { createDataPlane } from './data-plane/data-plane.ts';
import type { RequestFacts } from './data-plane/routed-request.ts';
import type { createUpstreamPools } from './data-plane/upstream/pool.ts';
import { failurePageWithRestart } from './failure-page.ts';
import { InFlightRequests } from './in-flight-requests.ts';
import { isReachable } from './launch/is-reachable.ts';
import { unintendedReason } from './launch/unintended-request.ts';
import { createLaunchApp } from './launch/launch-app.ts';
import { missingBasePath } from './missing-base-path.ts';
import {
  countRefusedConnections,
  countRetries,
  countStarts,
  countUpstreamFailures,
  registerDataPlaneMetrics,
  registerRouteMetrics,
} from './proxy-metrics.ts';
import { RequestMetrics } from './request-metrics.ts';
import { resumeOnRequest } from './resume-on-request.ts';
import { clientAddress } from './starting/client-address.ts';
import type { Starter } from './starting/start-instance.ts';
import { createVisitStarts } from './starting/start-on-visit.ts';
import { continueTrace, requestTracer } from './trace-context.ts';
import { WarningReport } from './warning-report.ts';
import type { Theme } from './waiting/theme.ts';
import { sendWaitingPage } from './waiting/waiting-page.ts';

/** Settings of the interface for visitors; durations in milliseconds. */
export interface PublicInterfaceConfig {
  /** First segment of the path form. */
  readonly prefix: string;
  /** How visitors reach the interface, without a slash at the end. */
  readonly publicUrl: string;
  /** Domain of the host form, with a port or without; undefined: path form only. */
  readonly domain: string | undefined;
  readonly trustedProxies: readonly string[];
  /** Connections of one IPv4 address or IPv6 /64 to the public port. */
  readonly connectionsPerAddress: number;
  /** Open WebSockets of one instance. */
  readonly webSocketsPerInstance: number;
  /** Whether each request is logged. */
  readonly accessLog: boolean;
  readonly startWait: number;
  readonly responseTimeout: number;
  /** Header lines of a request. */
  readonly maxRequestFields: number;
  /** Bytes of a response head of an instance. */
  readonly maxResponseHeader: number;
}

/** What the interface for visitors is made of. */
export interface PublicInterfaceParts {
  readonly cell: Cell;
  readonly templates: { readonly current: TemplateSet };
  readonly tokens: TokenSet;
  readonly keys: SigningKeys;
  readonly theme: Theme;
  readonly metrics: Registry;
  readonly createUpstreamPools?: typeof createUpstreamPools;
  readonly observeRequests?: typeof observeRequests | undefined;
  /**
   * Returns the owner of a start, if another application authenticates visitors. `Authorization` is
   * then for that application: no token of the control API is accepted, and no instance in path form
   * gets it.
   */
  readonly ownerOf?: (req: IncomingMessage) => string | undefined;
  /** Called with each instance that is started or claimed here. */
  readonly onCreated?: (instance: Instance) => void;
  /** Undefined where no traces are recorded. */
  readonly tracing?: Tracing | undefined;
  readonly logger: Logger;
}

/** Returns the public URL of an id, or of a name as `@NAME`, with a slash at the end. */
export function instanceUrls({
  domain,
  prefix,
  publicUrl,
}: Pick<PublicInterfaceConfig, 'domain' | 'prefix' | 'publicUrl'>): (id: string) => string {
  if (domain === undefined) return (id) => `${publicUrl}/${prefix}/${id}/`;
  const { protocol } = new URL(publicUrl);
  return (id) => `${protocol}//${id.replace(/^@/, '')}.${domain}/`;
}

/**
 * Everything that serves visitors but the server: the data plane, the routes that start instances,
 * and what both share with the control API. Nothing runs before `activity.start()`.
 */
export function createPublicInterface(config: PublicInterfaceConfig, parts: PublicInterfaceParts) {
  const { domain, prefix, publicUrl } = config;
  const { cell, tokens, keys, theme, metrics, tracing, logger } = parts;
  const ids = portsById(new Map([[DEFAULT_CELL, cell]]));
  const { instances, rates } = cell.store;
  const inFlight = new InFlightRequests();
  const { stopping } = inFlight;
  const trusted = parseTrustedProxies(config.trustedProxies);
  /** What the control API and the start of instances by visitors have in common. */
  const shared = {
    starter: createStarter(
      cell,
      { ...parts, onStarted: countStarts(metrics) },
      instanceUrls(config),
    ),
    tokens,
    // Shared by all interfaces and replicas, so that each address has one count.
    authThrottle: createAuthThrottle(cell.redis, cell.keys.rate('auth')),
    keys,
    rates,
    addressOf: (req: IncomingMessage) => clientAddress(req, trusted),
    logger,
  };

  const activity = new ActivityReport(ids.leases, logger);
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
  const startOnVisit = createVisitStarts({ ...shared, names: cell.store.names });
  const dataPlane = createDataPlane({
    explainNotFound,
    activity,
    routes: resumeOnRequest({ ...ids, logger }),
    prefix,
    domain,
    // An application that shares the server has host names of its own.
    ...(parts.ownerOf === undefined && {
      hostNames: { except: hostNameOf(new URL(publicUrl).host) },
    }),
    scheme: publicUrl.startsWith('https:') ? 'https' : 'http',
    publicPath: new URL(publicUrl).pathname,
    ownsAuthorization: parts.ownerOf !== undefined,
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
    startOnVisit: async (req, name, { generation, isShared }) => {
      const isOwn = (origin: string) => isSameOrigin(origin, req.headers.host ?? '');
      const reason = unintendedReason(req.method ?? '', req.headers, { isOwn, isShared });
      return reason ? { kind: 'refused' } : startOnVisit(name, generation);
    },
    waitingPage: (req, res, id) => sendWaitingPage(waiting, req, res, id),
    onUpstreamFailure: (reason, { id, detail, isOfInstance }) => {
      countFailure(reason);
      if (isOfInstance) warningReport.save(id, { kind: 'upstream_failure', detail });
    },
    onRetry: countRetries(metrics),
    ...(tracing && { traceRequest: requestTracer(tracing, prefix) }),
    onRequestEnd: (parts.observeRequests ?? observeRequests)(config.accessLog, {
      metrics,
      logger,
      addressOf: shared.addressOf,
    }),
    webSocketsPerInstance: config.webSocketsPerInstance,
    onWebSocketRefused: () => onRefused('instance'),
    ...(parts.createUpstreamPools && { createUpstreamPools: parts.createUpstreamPools }),
    logger,
  });
  registerRouteMetrics(metrics, cell.routes);
  registerDataPlaneMetrics(metrics, dataPlane);
  const handleLaunch = createLaunchApp({
    ...shared,
    now: () => instances.now(),
    prefix,
    publicUrl,
    domain,
    waiting,
    killPorts: ids,
    renewPorts: { ...ids, now: () => instances.now() },
    explainNotFound,
    ...(tracing && {
      continueTrace: continueTrace((req) =>
        isTrusted(peerAddress(req.socket.remoteAddress), trusted),
      ),
    }),
    ...(parts.ownerOf && { ownerOf: parts.ownerOf }),
  }).callback();
  /** Handles the requests that name no instance. */
  const launch = (req: IncomingMessage, res: ServerResponse): void => void handleLaunch(req, res);
  const connections: ConnectionLimits = {
    perAddress: config.connectionsPerAddress,
    trusted,
    onRefused,
    logger,
  };
  return { ids, shared, inFlight, activity, dataPlane, launch, connections };
}

/** Measures each request, and logs it if the configuration says so. */
export function observeRequests(
  isLogged: boolean,
  parts: {
    readonly metrics: Registry;
    readonly logger: Logger;
    readonly addressOf: (req: IncomingMessage) => string;
  },
): ((facts: RequestFacts) => void) | undefined {
  const requests = new RequestMetrics(parts.metrics);
  if (!isLogged) return (facts) => requests.add(facts);
  const log = accessLog(parts.logger, parts.addressOf);
  return (facts) => {
    requests.add(facts);
    log(facts);
  };
}

/** Starts instances in a cell. */
function createStarter(
  { spawns, killJobs, killRequests, refills, routes, store }: Cell,
  {
    templates,
    keys,
    onCreated,
    onStarted,
    tracing,
    logger,
  }: Pick<PublicInterfaceParts, 'templates' | 'keys' | 'onCreated' | 'tracing' | 'logger'> & {
    readonly onStarted: ReturnType<typeof countStarts>;
  },
  urlOf: (id: string) => string,
): Starter {
  const { intake, instances } = store;
  const report = <T extends CreateResult | ClaimResult>(result: T): T => {
    const { kind } = result;
    if (kind === 'created' || kind === 'queued' || kind === 'claimed') {
      onStarted(result.instance.template.name, kind);
      onCreated?.(result.instance);
    }
    return result;
  };
  return {
    ...{ spawns, killJobs, killRequests, refills, instances },
    intake: {
      createOrQueue: async (...input) => report(await intake.createOrQueue(...input)),
      claimWarm: async (...input) => report(await intake.claimWarm(...input)),
      redeemed: (grant) => intake.redeemed(grant),
      withdraw: (...input) => intake.withdraw(...input),
      confirm: (instance) => intake.confirm(instance),
    },
    // If the store cannot answer, the data path checks the registration later.
    isReachable: async (instance: Instance) => {
      const { host, address, published, template } = instance;
      if (address === undefined) return false;
      const endpoint = endpointOf({ address, published }, template.port);
      return (await routes.isRegistered(host, endpoint).catch(() => true)) && isReachable(endpoint);
    },
    onError: (error: unknown) =>
      logger.warn({ err: error }, 'clean-up after a claim failed; reconciliation repairs it'),
    get templates() {
      return templates.current;
    },
    keys,
    urlOf,
    tracing,
  };
}
