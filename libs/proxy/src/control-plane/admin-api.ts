import type { IncomingMessage } from 'node:http';
import { adminRoutes, openApiDocument } from '@ephemera/contract';
import {
  closeBehindLongBody,
  mountRoutes,
  requireKnownName,
  route,
  useTargetAuthority,
} from '@ephemera/http';
import type { AuthThrottle, TokenSet } from '@ephemera/http';
import type { LogPorts } from '@ephemera/lifecycle';
import type { Registry } from '@ephemera/process';
import Koa from 'koa';
import type { Middleware } from 'koa';
import { errorHandler } from '../failure-page.ts';
import { publicRoutes } from '../public-routes.ts';
import { NEVER_A_PAGE } from '../security-headers.ts';
import { certificateRoute } from './certificate-check.ts';
import type { CertificateCheck } from './certificate-check.ts';
import { auditActions, requireScope, requireToken } from './authorize.ts';
import { eventRoutes } from './events-api.ts';
import type { EventsApi } from './events-api.ts';
import { execRoutes } from './exec-api.ts';
import type { ExecApi } from './exec-api.ts';
import { fileRoutes } from './files-api.ts';
import { hostRoutes } from './hosts-api.ts';
import type { HostsApi } from './hosts-api.ts';
import { instanceOperationRoutes } from './instance-operations.ts';
import type { InstanceOperations } from './instance-operations.ts';
import { type ConfigFile, type ReadinessChecks, healthRoutes } from './health-routes.ts';
import { instanceRoutes } from './instances-api.ts';
import type { InstancesApi } from './instances-api.ts';
import { linkRoutes } from './links-api.ts';
import type { LinksApi } from './links-api.ts';
import { nameApiRoutes } from './names-api.ts';
import type { NamesApi } from './names-api.ts';
import { referenceRoute } from './reference-page.ts';
import { templateRoutes } from './templates-api.ts';
import type { TemplatesApi } from './templates-api.ts';

export interface AdminApi
  extends
    InstancesApi,
    TemplatesApi,
    Pick<NamesApi, 'stableNames'>,
    Pick<HostsApi, 'hosts' | 'hostRegistry'>,
    EventsApi,
    Omit<LinksApi, 'instances' | 'starter'>,
    Omit<LogPorts, 'instances'>,
    Pick<ExecApi, 'hostConnections'>,
    Pick<InstanceOperations, 'stopping'> {
  /** Which host names may have a certificate. */
  readonly certificates: CertificateCheck;
  /** Accepted host names, in addition to addresses and `localhost`. */
  readonly names: readonly string[];
  readonly tokens: TokenSet;
  readonly authThrottle: AuthThrottle;
  readonly version: string;
  /** The public port, for the OpenAPI document. */
  readonly visitors: {
    /** Without the prefix, and without a trailing slash. */
    readonly url: string;
    readonly prefix: string;
  };
  /** Returns the client address behind trusted proxies. */
  readonly addressOf: (req: IncomingMessage) => string;
  readonly metrics: Registry;
  /** Continues the traces of clients, where traces are recorded. */
  readonly continueTrace?: Middleware;
  /** The configuration file and its present errors. */
  readonly configFile: ConfigFile;
  /** The checks that make up readiness. */
  readonly parts: ReadinessChecks;
  /** Whether each response is checked against its declaration, for tests. */
  readonly checkResponses?: boolean;
}

/**
 * The control API. Health, the check of certificates and the description of the API need no token;
 * all other routes need a token with the required scope.
 */
export function createAdminApi(api: AdminApi): Koa {
  const app = new Koa();
  // Errors after a response has started, mostly disconnected clients.
  app.on('error', (error: Error) => api.logger.debug({ err: error }, 'response ended early'));
  app.use(async (ctx, next) => {
    useTargetAuthority(ctx.req);
    ctx.set(NEVER_A_PAGE);
    await next();
  });
  app.use(closeBehindLongBody);
  // Outside the error handler, so that it sees the final status.
  app.use(auditActions(api));
  app.use(errorHandler(api.logger));
  app.use(requireKnownName(api.names, 'EPHEMERA_ADMIN_NAMES'));

  const mounting = { unknown: 'refuse', checkResponses: api.checkResponses } as const;
  const document = openApiDocument({
    version: api.version,
    admin: { url: '/', routes: adminRoutes },
    visitors: { url: api.visitors.url, routes: publicRoutes(api.visitors.prefix) },
  });
  const open = [
    ...healthRoutes(api.parts, api.configFile),
    certificateRoute(api.certificates),
    route(adminRoutes.readOpenApi, (ctx) => {
      ctx.body = document;
    }),
    referenceRoute(document),
  ];
  app.use(mountRoutes(open, { ...mounting, exact: false }));

  app.use(requireToken(api));
  app.use(requireScope(api.instances, api.stableNames));
  if (api.continueTrace) app.use(api.continueTrace);
  const guarded = [
    route(adminRoutes.readMetrics, async (ctx) => {
      ctx.type = api.metrics.contentType;
      ctx.body = await api.metrics.metrics();
    }),
    ...instanceRoutes(api),
    ...instanceOperationRoutes(api),
    ...execRoutes(api),
    ...fileRoutes(api),
    ...eventRoutes(api),
    ...templateRoutes(api),
    ...nameApiRoutes(api),
    ...hostRoutes({ ...api, now: api.instances.now }),
    ...linkRoutes(api),
  ];
  app.use(mountRoutes(guarded, { ...mounting, exact: true }));
  return app;
}
