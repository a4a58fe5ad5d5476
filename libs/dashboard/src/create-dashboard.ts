import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createProducers } from '@ephemera/queue';
import { watchTokens } from '@ephemera/config';
import { createTokens } from '@ephemera/http';
import { createShutdown, createLogger, listen } from '@ephemera/process';
import type { App, Shutdown, Logger } from '@ephemera/process';
import { connectRedis, keysOf, redisHosts, redisInstances, requireRedis } from '@ephemera/store';
import type { RedisAddress } from '@ephemera/store';
import { dashboardApp } from './dashboard.ts';
import { createBoard } from './queues/board.ts';

/** Settings of the dashboard; durations in milliseconds. */
export interface DashboardConfig {
  readonly redis: RedisAddress;
  readonly namespace: string;
  readonly logLevel: string;
  readonly bind: string;
  readonly names: readonly string[] | undefined;
  readonly trustedProxies: readonly string[];
  readonly port: number;
  readonly adminToken: string | undefined;
  /** The file that tokens are read from, where there is one. */
  readonly tokensPath: string;
  readonly tombstone: number;
}

/** The dashboard: job queues and instances, for whoever has a token. */
export function createDashboard(config: DashboardConfig): App {
  const logger = createLogger('dashboard', config.logLevel);
  const shutdown = createShutdown(logger);
  return {
    logger,
    start: () => startDashboard(config, { logger, lifetime: shutdown }),
    stop: () => shutdown.stop(),
  };
}

async function startDashboard(
  config: DashboardConfig,
  { logger, lifetime: shutdown }: { readonly logger: Logger; readonly lifetime: Shutdown },
): Promise<void> {
  const watched = watchTokens(config.tokensPath, logger);
  const tokens = createTokens(config.adminToken, () => watched.current);
  shutdown.onShutdown('tokens', () => watched.close());
  const keys = keysOf(config.namespace);

  const redis = connectRedis(config.redis, 'request', (error) =>
    logger.warn({ err: error }, 'redis fault'),
  );
  shutdown.onShutdown('redis', () => redis.disconnect());
  await requireRedis(redis, config.redis);

  const hosts = redisHosts(redis, keys);
  const producers = createProducers(redis, keys.queuePrefix);
  shutdown.onShutdown('producers', () => producers.close());
  const board = createBoard({ connection: redis, prefix: keys.queuePrefix, hosts });
  shutdown.onShutdown('queues', () => board.close());

  const app = dashboardApp({
    redis,
    keys,
    instances: redisInstances(redis, keys, config.tombstone),
    hosts,
    killRequests: producers.killRequests,
    board: board.middleware,
    tokens,
    // Made of no token: a session is its holder's, and would let a weak token be tried at leisure.
    sessionKey: randomBytes(32).toString('base64url'),
    stopping: () => shutdown.stopping,
    names: config.names,
    trustedProxies: config.trustedProxies,
    logger,
  });
  const handle = app.callback();
  const server = createServer((req, res) => void handle(req, res));
  await listen(server, { host: config.bind, port: config.port });
  shutdown.onShutdown('server', () => new Promise((resolve) => server.close(resolve)));
  logger.info({ host: config.bind, port: config.port }, 'dashboard ready');
}
