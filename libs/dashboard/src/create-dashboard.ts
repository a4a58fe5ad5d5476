import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createProducers } from '@ephemera/queue';
import { watchTokens } from '@ephemera/config';
import { createTokens } from '@ephemera/http';
import { createLifetime, createLogger, listen, runApp } from '@ephemera/process';
import { connectRedis, keysOf, redisHosts, redisInstances, requireRedis } from '@ephemera/store';
import { readConfig } from './config.ts';
import { createDashboard } from './dashboard.ts';
import { createBoard } from './queues/board.ts';

await runApp(async () => {
  const config = readConfig();
  const logger = createLogger('dashboard', config.logLevel);
  const watched = watchTokens(config.tokensPath, logger);
  const tokens = createTokens(config.adminToken, () => watched.current);
  const shutdown = createLifetime(logger);
  shutdown.onStop('tokens', () => watched.close());
  const keys = keysOf(config.namespace);

  const redis = connectRedis(config.redis, 'request', (error) =>
    logger.warn({ err: error }, 'redis fault'),
  );
  shutdown.onStop('redis', () => redis.disconnect());
  await requireRedis(redis, config.redis);

  const hosts = redisHosts(redis, keys);
  const producers = createProducers(redis, keys.queuePrefix);
  shutdown.onStop('producers', () => producers.close());
  const board = createBoard({ connection: redis, prefix: keys.queuePrefix, hosts });
  shutdown.onStop('queues', () => board.close());

  const app = createDashboard({
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
  shutdown.onStop('server', () => new Promise((resolve) => server.close(resolve)));
  logger.info({ host: config.bind, port: config.port }, 'dashboard ready');
});
