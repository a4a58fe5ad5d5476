import type { IncomingMessage } from 'node:http';
import Router from '@koa/router';
import { openApiDocument } from '@ephemera/contract';
import { healthRoutes, type ReadinessChecks, type TokenSet } from '@ephemera/http';
import type { Registry } from '@ephemera/process';
import Koa from 'koa';
import { errorHandler } from '../error-handler.ts';
import { NEVER_A_PAGE } from '../security-headers.ts';
import { auditActions } from './audit-actions.ts';
import { eventsRouter } from './events-api.ts';
import type { EventsApi } from './events-api.ts';
import { EXACT } from './exact-paths.ts';
import type { LogPorts } from './follow-log.ts';
import { instancesRouter } from './instances-api.ts';
import type { InstancesApi } from './instances-api.ts';
import { linksRouter } from './links-api.ts';
import type { LinksApi } from './links-api.ts';
import { type InstanceOperations, instanceOperationsRouter } from './instance-operations.ts';
import { requireScope } from './require-scope.ts';
import { requireToken } from './require-token.ts';
import { templatesRouter } from './templates-api.ts';
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
  readonly version: string;
  /** From where a request comes, behind whatever is trusted. */
  readonly addressOf: (req: IncomingMessage) => string;
  readonly metrics: Registry;
  /** The checks of /readyz. */
  readonly checks: ReadinessChecks;
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
  // Around the funnel, so that it sees how each ended.
  app.use(auditActions(api));
  app.use(errorHandler(api.logger));

  app.use(healthRoutes(api.checks).routes());

  app.use(requireToken(api.tokens));
  app.use(requireScope(api.instances));
  const router = new Router(EXACT);
  const document = openApiDocument(api.version);
  router.get('/openapi.json', (ctx) => {
    ctx.body = document;
  });
  router.get('/metrics', async (ctx) => {
    ctx.type = api.metrics.contentType;
    ctx.body = await api.metrics.metrics();
  });
  const instances = instancesRouter(api);
  for (const item of [
    router,
    instances,
    instanceOperationsRouter(api),
    eventsRouter(api),
    templatesRouter(api),
    linksRouter(api),
  ]) {
    app.use(item.routes());
    app.use(item.allowedMethods());
  }
  return app;
}
