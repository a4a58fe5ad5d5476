import { closeBehindLongBody, mountRoutes } from '@ephemera/http';
import type { KillRequests } from '@ephemera/lifecycle';
import { createAuthThrottle, parseTrustedProxies } from '@ephemera/http';
import type { TokenSet } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import type { Hosts, InstanceStore, Keys } from '@ephemera/store';
import type { Redis } from 'ioredis';
import Koa from 'koa';
import type { Middleware } from 'koa';
import { authenticate } from './access/authenticate.ts';
import { auditActions, noteAddress } from './access/audit-actions.ts';
import { requireKnownName } from './access/require-known-name.ts';
import { createSessions } from './access/session.ts';
import { signInRoutes } from './access/sign-in.ts';
import { errorHandler } from './error-handler.ts';
import { assetRoutes } from './assets.ts';
import { healthRoutes } from './health.ts';
import { instanceRoutes } from './instances/instances-routes.ts';
import { securityHeaders } from './security-headers.ts';

export interface DashboardDependencies {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly instances: InstanceStore;
  readonly hosts: Hosts;
  readonly killRequests: KillRequests;
  /** bull-board below `/dashboard/queues`. */
  readonly board: Middleware;
  readonly tokens: TokenSet;
  /** Signs sessions. */
  readonly sessionKey: string;
  readonly stopping: () => boolean;
  /** Names that it answers to beside addresses and `localhost`; undefined: any. */
  readonly names: readonly string[] | undefined;
  /** Load balancers whose X-Forwarded-For is believed: addresses or CIDRs. */
  readonly trustedProxies: readonly string[];
  readonly logger: Logger;
  /** Whether each response is checked against its declaration, for tests. */
  readonly checkResponses?: boolean;
}

/** The dashboard: health, assets and the login page for everybody, all else for who may. */
export function dashboardApp(parts: DashboardDependencies): Koa {
  const { tokens, logger } = parts;
  const sessions = createSessions(parts.sessionKey, tokens, Date.now);
  const authThrottle = createAuthThrottle(parts.redis, parts.keys.rate('auth'));
  const app = new Koa();
  // What fails once an answer has begun, mostly a client that has gone.
  app.on('error', (error: Error) => logger.warn({ err: error }, 'answer failed'));
  app.use(closeBehindLongBody);
  app.use(securityHeaders);
  app.use(noteAddress(parseTrustedProxies(parts.trustedProxies)));
  // Around the funnel, so that it sees how each ended.
  app.use(auditActions(logger));
  app.use(errorHandler(logger));
  app.use(requireKnownName(parts.names));
  const { checkResponses } = parts;
  const mounting = { unknown: 'refuse', exact: true, checkResponses } as const;
  const open = [
    ...healthRoutes(parts),
    ...assetRoutes(),
    ...signInRoutes({ tokens, sessions, authThrottle }),
  ];
  app.use(mountRoutes(open, mounting));
  app.use(authenticate({ tokens, sessions, authThrottle }));
  app.use(parts.board);
  app.use(mountRoutes(instanceRoutes(parts), mounting));
  return app;
}
