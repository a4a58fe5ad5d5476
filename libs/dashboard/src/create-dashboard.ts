import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { RedisAddress } from '@ephemera/domain';
import { createProducers } from '@ephemera/queue';
import { watchConfig } from '@ephemera/config';
import { createTokens, lingerOnClose } from '@ephemera/http';
import { createShutdown, createLogger, listen } from '@ephemera/process';
import type { App, Shutdown, Logger } from '@ephemera/process';
import { RedisHostRpc, connectRedis, createStore, keysOf, requireRedis } from '@ephemera/store';
import { dashboardApp } from './dashboard.ts';
import { createBoard } from './queues/board.ts';

/** Settings of the dashboard; durations in milliseconds. */
export interface DashboardConfig {
  readonly redis: RedisAddress;
  readonly namespace: string;
  readonly logLevel: string;
  readonly bind: string;
  readonly names: readonly string[];
  readonly trustedProxies: readonly string[];
  readonly port: number;
  readonly adminToken: string | undefined;
  /** The file with tokens. It need not exist. */
  readonly tokensPath: string;
  readonly tombstone: number;
}

/** The dashboard: instances, hosts and job queues. Every page requires a token or a session. */
export function createDashboard(config: DashboardConfig): App {
  const logger = createLogger('dashboard', config.logLevel);
  const shutdown = createShutdown(logger);
  return {
    logger,
    start: () => startDashboard(config, { logger, shutdown }),
    stop: () => shutdown.stop(),
  };
}

async function startDashboard(
  config: DashboardConfig,
  { logger, shutdown }: { readonly logger: Logger; readonly shutdown: Shutdown },
): Promise<void> {
  const watched = watchConfig(config.tokensPath, logger, (file) => file);
  const tokens = createTokens(config.adminToken, () => watched.current?.tokens ?? {});
  shutdown.onShutdown('configuration', () => watched.close());
  const keys = keysOf(config.namespace);

  const redis = connectRedis(config.redis, 'request', (error) =>
    logger.warn({ err: error }, 'Redis connection error; reconnecting'),
  );
  shutdown.onShutdown('redis', () => redis.disconnect());
  await requireRedis(redis, config.redis);

  const store = createStore(redis, keys, config.tombstone);
  const producers = createProducers(redis, keys.queuePrefix);
  shutdown.onShutdown('producers', () => producers.close());
  const hostRpc = new RedisHostRpc({
    redis,
    subscriber: connectRedis(config.redis, 'job', (error) =>
      logger.warn({ err: error }, 'Redis connection error; reconnecting'),
    ),
    keys,
  });
  await hostRpc.start();
  shutdown.onShutdown('host rpc', () => hostRpc.stop());
  const board = createBoard({ connection: redis, prefix: keys.queuePrefix, hosts: store.hosts });
  shutdown.onShutdown('queues', () => board.close());

  const app = dashboardApp({
    redis,
    keys,
    store,
    hostRpc,
    jobs: producers,
    board: board.middleware,
    tokens,
    configFile: watched,
    // Not derived from a token: a session's owner could then guess a weak token offline.
    sessionKey: randomBytes(32).toString('base64url'),
    stopping: () => shutdown.stopping,
    names: [...config.names, config.bind],
    trustedProxies: config.trustedProxies,
    logger,
  });
  const handle = app.callback();
  const server = createServer((req, res) => void handle(req, res));
  lingerOnClose(server);
  await listen(server, { host: config.bind, port: config.port });
  shutdown.onShutdown('server', () => new Promise((resolve) => server.close(resolve)));
  logger.info({ host: config.bind, port: config.port }, 'dashboard ready');
}
