import { createServer, type Server } from 'node:http';
import type { RouteDeclaration } from '@ephemera/contract';
import type { InstanceDraft } from '@ephemera/domain';
import { routesOf } from '@ephemera/http';
import { createProducers, createRefills } from '@ephemera/queue';
import { parseTemplates, type TokenEntries } from '@ephemera/config';
import { createAuthThrottle, createTokens, parseTrustedProxies } from '@ephemera/http';
import { createLogger, createMetrics, listen } from '@ephemera/process';
import {
  EventFeed,
  RedisHostRpc,
  RouteCache,
  connectRedis,
  connectTracking,
  keysOf,
  readCapacity,
  readTemplateUsage,
  redisHostRegistry,
  redisHosts,
  redisInstances,
  redisInstanceWarnings,
  redisIntake,
  redisLogArchive,
  redisLeases,
  redisNames,
  redisRates,
} from '@ephemera/store';
import type { InstanceStore } from '@ephemera/store';
import { SETTLED_DATASET, sampleDraft, startRedis } from '@ephemera/test-support';
import type { Redis } from 'ioredis';
import { createAdminApi } from '../src/control-plane/admin-api.ts';
import { createDataPlane } from '../src/data-plane/data-plane.ts';
import { createPublicServer } from '../src/data-plane/public-server.ts';
import { clientAddress } from '../src/starting/client-address.ts';
import { createLaunchApp } from '../src/launch/launch-app.ts';
import { createSigningKeys } from '@ephemera/config';
import { missingBasePath } from '../src/missing-base-path.ts';
import { loadTheme } from '../src/waiting/theme.ts';
import { sendWaitingPage } from '../src/waiting/waiting-page.ts';
import { WarningReport } from '../src/warning-report.ts';

const TOKEN = 'the-admin-of-all-of-this';
export const BEARER = { authorization: `Bearer ${TOKEN}` };
/** The domain whose names the admin port checks for certificates. */
export const DOMAIN = 'demos.example:8443';
/** The log message of a handler that failed or sent an undeclared response. */
const BUG = 'request failed';

/**
 * Both HTTP interfaces of a proxy with a real Redis and without a worker. Each response is checked
 * against its declaration.
 */
export interface OpenPorts {
  readonly adminUrl: string;
  readonly publicUrl: string;
  readonly adminRoutes: readonly RouteDeclaration[];
  readonly publicRoutes: readonly RouteDeclaration[];
  readonly instances: InstanceStore;
  /** Creates an instance in the state in which its worker leaves it. */
  startInstance(draft?: Partial<InstanceDraft>): Promise<string>;
  /** Removes all data. Without a worker, no draining instance is finalized. */
  clear(): Promise<void>;
  /** Log lines of bugs. */
  readonly bugs: readonly string[];
  /** Log lines about applications that do not know their base path. */
  readonly warned: readonly unknown[];
  readonly redis: Redis;
  stop(): Promise<void>;
}

interface OpenPortsOptions {
  /** Serves the host form below it. */
  readonly domain?: string;
  /** How visitors reach the public port, as the control API describes it. */
  readonly visitorsUrl?: string;
  /** Load balancers that name the client in X-Forwarded-For. */
  readonly trusted?: readonly string[];
  /** Tokens in addition to the admin token. */
  readonly entries?: TokenEntries;
  readonly signingKeys?: () => readonly string[];
}

export async function openPorts(
  templatesText: string,
  {
    domain,
    visitorsUrl = 'http://127.0.0.1',
    trusted: trustedProxies = [],
    entries = {},
    signingKeys: readKeys = () => ['k'.repeat(32)],
  }: OpenPortsOptions = {},
): Promise<OpenPorts> {
  const server = await startRedis();
  const keys = keysOf('ports');
  const ignore = () => undefined;
  const redis = connectRedis(server.url, 'request', ignore);
  await new Promise((resolve) => redis.once('ready', resolve));
  await redis.set(keys.dataset, SETTLED_DATASET);
  const blocking = connectRedis(server.url, 'watch', ignore);
  const subscriber = connectRedis(server.url, 'job', ignore);
  const trackingRedis = () => connectTracking(server.url, ignore);
  const routes = new RouteCache({ redis, trackingRedis, keys, grace: 0, capacity: 1_000 });
  await routes.start();
  const events = new EventFeed({ redis, blocking, keys });
  events.start();
  const hostRpc = new RedisHostRpc({ redis, subscriber, keys });
  await hostRpc.start();

  const instances = redisInstances(redis, keys);
  const leases = redisLeases(redis, keys);
  const rates = redisRates(redis, keys);
  const jobs = createProducers(redis, keys.queuePrefix);
  const refills = createRefills(redis, keys.queuePrefix, Date.now);
  const templates = parseTemplates(templatesText);
  const bugs: string[] = [];
  const warned: unknown[] = [];
  const logger = createLogger('proxy', 'error', {
    write: (line) => {
      if (line.includes(BUG)) bugs.push(line);
    },
  });
  const tokens = createTokens(TOKEN, () => entries);
  const signingKeys = createSigningKeys(readKeys);
  const starter = {
    ...jobs,
    intake: redisIntake(redis, keys),
    instances,
    refills,
    isReachable: () => Promise.resolve(true),
    onError: ignore,
    templates,
    keys: signingKeys,
    urlOf: (id: string) =>
      domain === undefined
        ? `http://127.0.0.1/demo/${id}/`
        : `http://${id.replace('@', '')}.${domain}/`,
  };
  const warnings = redisInstanceWarnings(redis, keys);
  const report = new WarningReport({ warnings, logger, now: Date.now });
  const stopping = new AbortController();
  const trusted = parseTrustedProxies(trustedProxies);
  const shared = {
    starter,
    tokens,
    authThrottle: createAuthThrottle(redis, keys.rate('auth')),
    keys: signingKeys,
    rates,
    addressOf: (req: Parameters<typeof clientAddress>[0]) => clientAddress(req, trusted),
    logger,
    checkResponses: true,
  };
  const adminApp = createAdminApi({
    ...shared,
    stopping: stopping.signal,
    names: ['a', 'b', 'b.example'],
    publicUrl: 'http://127.0.0.1/demo',
    visitors: { url: visitorsUrl, prefix: 'demo' },
    version: '1.2.3',
    metrics: createMetrics('proxy'),
    parts: { running: () => true },
    configFile: { issues: [] },
    readUsage: {
      hosts: async () => readCapacity(redis, keys, await instances.now()),
      of: (template) => readTemplateUsage(redis, keys, template, starter.urlOf('{id}')),
    },
    hosts: redisHosts(redis, keys),
    hostConnections: {
      request: () => Promise.resolve({ kind: 'unregistered', detail: 'no host here' }),
    },
    hostRegistry: redisHostRegistry(redis, keys),
    instances,
    stableNames: redisNames(redis, keys),
    routes,
    events,
    hostRpc,
    logArchive: redisLogArchive(redis, keys, 3_600_000),
    warnings,
    certificates: { routes, domain: DOMAIN, prefix: 'demo' },
    killPorts: { instances, killRequests: jobs.killRequests },
    renewPorts: { leases, killJobs: jobs.killJobs, now: () => instances.now() },
  });
  const waiting = {
    routes,
    instances,
    prefix: 'demo',
    theme: loadTheme('calm', undefined),
    stopping: stopping.signal,
  };
  const publicApp = createLaunchApp({
    ...shared,
    explainNotFound: missingBasePath({
      prefix: 'demo',
      publicUrl: 'http://127.0.0.1',
      domain: undefined,
      routes,
      instances,
      report,
      logger: {
        warn: (...line: unknown[]) => void warned.push(line),
        debug: ignore,
      },
    }),
    now: () => instances.now(),
    prefix: 'demo',
    publicUrl: 'http://127.0.0.1',
    domain,
    waiting,
    killPorts: { instances, killRequests: jobs.killRequests },
    renewPorts: { leases, killJobs: jobs.killJobs, now: () => instances.now() },
  });
  const dataPlane = createDataPlane({
    routes,
    prefix: 'demo',
    domain,
    trustedProxies,
    waitingPage: (req, res, id) => sendWaitingPage(waiting, req, res, id),
    sendFailure: (_req, res) => void res.writeHead(500).end(),
    logger,
  });
  const open = async (http: Server) => {
    const port = await listen(http, { host: '127.0.0.1', port: 0 });
    return { http, url: `http://127.0.0.1:${port}` };
  };
  const administer = adminApp.callback();
  const admin = await open(createServer((req, res) => void administer(req, res)));
  const visitors = await open(createPublicServer(dataPlane, publicApp.callback()));
  const declared = (app: typeof adminApp) =>
    routesOf(app).flatMap((mounted) => mounted.declarations);

  return {
    adminUrl: admin.url,
    publicUrl: visitors.url,
    adminRoutes: declared(adminApp),
    publicRoutes: declared(publicApp),
    instances,
    bugs,
    warned,
    redis,
    async clear() {
      await redis.flushall();
      await redis.set(keys.dataset, SETTLED_DATASET);
    },
    async startInstance(draft) {
      const { id, generation } = await instances.create(sampleDraft(draft));
      await instances.assignToHost(id, generation, 'host');
      await instances.markReady(id, generation, '10.231.1.1');
      return id;
    },
    async stop() {
      stopping.abort();
      for (const { http } of [admin, visitors]) {
        http.closeAllConnections();
        http.close();
      }
      await dataPlane.drain(0);
      hostRpc.stop();
      await Promise.all([events.stop(), routes.stop()]);
      await Promise.all([jobs.close(), refills.close()]);
      for (const item of [redis, blocking, subscriber]) item.disconnect();
      await server.stop();
    },
  };
}
