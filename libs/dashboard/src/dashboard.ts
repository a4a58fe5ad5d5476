import type { Ends } from '@ephemera/lifecycle';
import { GUESSES, createWrongGuesses, healthRoutes, readTrusted } from '@ephemera/http';
import type { TokenSet } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import type { Hosts, InstanceStore, Keys } from '@ephemera/store';
import type { Redis } from 'ioredis';
import Koa from 'koa';
import type { Middleware } from 'koa';
import { admit } from './access/admit.ts';
import { auditActs, noteAddress } from './access/audit-acts.ts';
import { requireKnownName } from './access/require-known-name.ts';
import { createSessions } from './access/session.ts';
import { signInRouter } from './access/sign-in.ts';
import { answerThrown } from './answer-thrown.ts';
import { assetsRouter } from './assets-router.ts';
import { instancesRouter } from './instances/instances-router.ts';
import { securityHeaders } from './security-headers.ts';

export interface DashboardParts {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly instances: InstanceStore;
  readonly hosts: Hosts;
  readonly ends: Ends;
  /** bull-board below `/queues`. */
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
}

/** The dashboard: health, assets and the login page for everybody, all else for who may. */
export function dashboardApp(parts: DashboardParts): Koa {
  const { tokens, logger } = parts;
  const sessions = createSessions(parts.sessionKey, tokens, Date.now);
  const guesses = createWrongGuesses(GUESSES, Date.now);
  const app = new Koa();
  // What fails once an answer has begun, mostly a client that has gone.
  app.on('error', (error: Error) => logger.warn({ err: error }, 'answer failed'));
  app.use(securityHeaders);
  app.use(noteAddress(readTrusted(parts.trustedProxies)));
  // Around the funnel, so that it sees how each ended.
  app.use(auditActs(logger));
  app.use(answerThrown(parts));
  app.use(requireKnownName(parts.names));
  const checks = {
    redis: () => parts.redis.ping().then(() => true),
    running: () => !parts.stopping(),
  };
  app.use(healthRoutes(checks).routes());
  app.use(assetsRouter().routes());
  app.use(signInRouter({ tokens, sessions, guesses }).routes());
  app.use(admit({ tokens, sessions, guesses }));
  app.use(parts.board);
  app.use(instancesRouter(parts).routes());
  return app;
}
