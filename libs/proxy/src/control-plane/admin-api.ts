import type { IncomingMessage } from 'node:http';
import { adminRoutes, openApiDocument } from '@ephemera/contract';
import { closeBehindLongBody, mountRoutes, route } from '@ephemera/http';
import type { AuthThrottle, TokenSet } from '@ephemera/http';
import type { Registry } from '@ephemera/process';
import Koa from 'koa';
import { errorHandler } from '../error-handler.ts';
import { NEVER_A_PAGE } from '../security-headers.ts';
import { auditActions } from './audit-actions.ts';
import { eventRoutes } from './events-api.ts';
import type { EventsApi } from './events-api.ts';
import type { LogPorts } from './follow-log.ts';
import { type ReadinessChecks, healthRoutes } from './health-routes.ts';
import { instanceRoutes } from './instances-api.ts';
import type { InstancesApi } from './instances-api.ts';
import { linkRoutes } from './links-api.ts';
import type { LinksApi } from './links-api.ts';
import { type InstanceOperations, lookingInRoutes } from './instance-operations.ts';
import { requireScope, requireToken } from './authorize.ts';
import { templateRoutes } from './templates-api.ts';
import type { TemplatesApi } from './templates-api.ts';

export interface AdminApi
  extends
    InstancesApi,
    TemplatesApi,
    EventsApi,
    Omit<LinksApi, 'instances' | 'starter'>,
    Omit<LogPorts, 'instances'>,
    Pick<InstanceOperations, 'stopping'> {
  readonly tokens: TokenSet;
  readonly authThrottle: AuthThrottle;
  readonly version: string;
  /** From where a request comes, behind whatever is trusted. */
  readonly addressOf: (req: IncomingMessage) => string;
  readonly metrics: Registry;
  /** What readiness takes. */
  readonly parts: ReadinessChecks;
  /** Whether each response is checked against its declaration, for tests. */
  readonly checkResponses?: boolean;
}

/** The control API: health without a token, all else with one of enough scope. */
export function createAdminApi(api: AdminApi): Koa {
  const app = new Koa();
  // What fails once an answer has begun: a client that has gone, mostly.
  app.on('error', (error: Error) => api.logger.debug({ err: error }, 'answer ended early'));
  app.use(async (ctx, next) => {
    ctx.set(NEVER_A_PAGE);
    await next();
  });
  app.use(closeBehindLongBody);
  // Around the funnel, so that it sees how each ended.
  app.use(auditActions(api));
  app.use(errorHandler(api.logger));

  const mounting = { unknown: 'refuse', checkResponses: api.checkResponses } as const;
  const open = healthRoutes(api.parts);
  app.use(mountRoutes(open, { ...mounting, exact: false }));

  app.use(requireToken(api));
  app.use(requireScope(api.instances));
  const guarded = [
    route(adminRoutes.openApi, (ctx) => {
      ctx.body = document;
    }),
    route(adminRoutes.metrics, async (ctx) => {
      ctx.type = api.metrics.contentType;
      ctx.body = await api.metrics.metrics();
    }),
    ...instanceRoutes(api),
    ...lookingInRoutes(api),
    ...eventRoutes(api),
    ...templateRoutes(api),
    ...linkRoutes(api),
  ];
  app.use(mountRoutes(guarded, { ...mounting, exact: true }));
  const mounted = [...open, ...guarded].map(({ declaration }) => declaration);
  const document = openApiDocument(api.version, mounted);
  return app;
}
