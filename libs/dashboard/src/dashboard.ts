import {
  closeBehindLongBody,
  mountRoutes,
  requireKnownName,
  useTargetAuthority,
} from '@ephemera/http';
import type { HostRpc } from '@ephemera/lifecycle';
import type { Producers } from '@ephemera/queue';
import { createAuthThrottle, parseTrustedProxies } from '@ephemera/http';
import type { TokenSet } from '@ephemera/http';
import type { ConfigIssue } from '@ephemera/config';
import type { Logger } from '@ephemera/process';
import type { Keys } from '@ephemera/store';
import type { Redis } from 'ioredis';
import Koa from 'koa';
import type { Middleware } from 'koa';
import { authenticate } from './access/authenticate.ts';
import { auditActions, noteAddress } from './access/audit-actions.ts';
import { createSessions } from './access/session.ts';
import { signInRoutes } from './access/sign-in.ts';
import { errorHandler } from './error-handler.ts';
import { assetRoutes } from './assets.ts';
import { healthRoutes } from './health.ts';
import type { OverviewPorts } from './instances/instances-page.ts';
import { instanceRoutes } from './instances/instances-routes.ts';
import { instancePageRoutes } from './instance/instance-page-routes.ts';
import type { InstancePageStore } from './instance/instance-page-routes.ts';
import { templatesRoute } from './templates/templates-route.ts';
import type { Configured, TemplatesPorts } from './templates/templates-page.ts';
import { securityHeaders } from './security-headers.ts';

export interface DashboardDependencies {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly store: OverviewPorts & InstancePageStore & TemplatesPorts['store'];
  /** Asks the workers of a host for logs and usage. */
  readonly hostRpc: HostRpc;
  readonly jobs: Pick<Producers, 'killRequests' | 'killJobs' | 'killJobOf' | 'deliveries'>;
  /** bull-board below `/dashboard/queues`. */
  readonly board: Middleware;
  readonly tokens: TokenSet;
  /**
   * The last valid version of the configuration file, undefined where there is none; `issues` are the
   * errors that keep its present version from use.
   */
  readonly configFile: {
    readonly current: Configured | undefined;
    readonly issues: readonly ConfigIssue[];
  };
  /** Signs sessions. */
  readonly sessionKey: string;
  readonly stopping: () => boolean;
  /** Accepted host names, in addition to addresses and `localhost`. */
  readonly names: readonly string[];
  /** Load balancers whose X-Forwarded-For is trusted: addresses or CIDRs. */
  readonly trustedProxies: readonly string[];
  readonly logger: Logger;
  /** Whether each response is checked against its declaration, for tests. */
  readonly checkResponses?: boolean;
}

/**
 * The dashboard. Health, assets and the login page are public; everything else requires
 * authentication.
 */
export function dashboardApp(parts: DashboardDependencies): Koa {
  const { tokens, logger } = parts;
  const sessions = createSessions(parts.sessionKey, tokens, Date.now);
  const authThrottle = createAuthThrottle(parts.redis, parts.keys.rate('auth'));
  const app = new Koa();
  // Errors after a response has started, mostly disconnected clients.
  app.on('error', (error: Error) => logger.warn({ err: error }, 'response failed'));
  app.use((ctx, next) => {
    useTargetAuthority(ctx.req);
    return next();
  });
  app.use(closeBehindLongBody);
  app.use(securityHeaders);
  app.use(noteAddress(parseTrustedProxies(parts.trustedProxies)));
  // Outside the error handler, so that it sees the final status.
  app.use(auditActions(logger));
  app.use(errorHandler(logger));
  app.use(requireKnownName(parts.names, 'EPHEMERA_DASHBOARD_NAMES'));
  const { checkResponses } = parts;
  const mounting = { unknown: 'refuse', exact: true, checkResponses } as const;
  const open = [
    ...healthRoutes(parts),
    ...assetRoutes(),
    ...signInRoutes({ tokens, sessions, authThrottle }),
  ];
  app.use(mountRoutes(open, mounting));
  app.use(authenticate({ tokens, sessions, authThrottle, instances: parts.store.instances }));
  app.use(parts.board);
  app.use(
    mountRoutes(
      [...instanceRoutes(parts), ...instancePageRoutes(parts), templatesRoute(parts)],
      mounting,
    ),
  );
  return app;
}
