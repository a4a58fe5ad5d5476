import { join, relative } from 'node:path';

import { BootError } from '@ephemera/domain';
import type { Reporter } from '../terminal/reporter.ts';
import { installPackages, missingPackages, type Package } from './install-packages.ts';
import { pingRedis, type RedisAnswer, type RedisTls } from './ping-redis.ts';
import { hasServiceManager } from './service-manager.ts';
import { redisProcess, startRedisService } from './start-redis.ts';
import type { Supervise } from './supervised-process.ts';

const serverPackage: Package = { name: 'redis-server', program: 'redis-server' };
const ownPort = 6379;

export interface RedisOptions {
  /** EPHEMERA_REDIS_URL, if set. */
  readonly configuredUrl: string | undefined;
  /** For `rediss://`: the trusted CA, and the client certificate with its key; PEM. */
  readonly tls: RedisTls;
  /** The folder for the data and the log of a Redis that is started here. */
  readonly stateFolder: string;
  readonly supervise: Supervise;
  readonly stop: AbortSignal;
}

/**
 * Ensures that a Redis answers: the one at `EPHEMERA_REDIS_URL`, or the one on the usual port, or
 * one that is installed and started here.
 *
 * @returns its URL
 */
export async function findRedis(report: Reporter, options: RedisOptions): Promise<string> {
  const { configuredUrl, tls, stateFolder, stop } = options;
  const url = configuredUrl ?? `redis://127.0.0.1:${ownPort}/0`;
  const answer = await pingRedis(url, { tls });
  if (answer.kind === 'running') {
    report.done(answer.product, `${answer.version} at ${withoutPassword(url)}`);
    warnOfEviction(report, answer);
    return url;
  }
  if (configuredUrl !== undefined) throw new BootError(unusable(url, answer));
  if (answer.kind === 'refused') {
    throw new BootError(
      `Port ${ownPort} is in use by a server that cannot be used as Redis: ${answer.problem}.\n` +
        'Free the port, or set EPHEMERA_REDIS_URL to the Redis to use.',
    );
  }
  const missing = missingPackages([serverPackage]);
  if (missing.length > 0) {
    await report.step('Install Redis', (onProgress) => installPackages(missing, onProgress, stop));
    stop.throwIfAborted();
  }
  await report.step('Redis', async (onProgress) => {
    if (hasServiceManager()) {
      onProgress('systemctl start redis-server');
      await startRedisService(url, stop);
      onProgress(`service started at ${url}`);
    } else {
      const folder = join(stateFolder, 'redis');
      const spec = redisProcess(folder, ownPort, join(stateFolder, 'logs/redis.log'));
      const [server] = options.supervise([spec]);
      await server?.ready(stop);
      onProgress(`started at ${url}, its data in ${relative('.', folder)}`);
    }
  });
  return url;
}

function unusable(url: string, answer: Exclude<RedisAnswer, { kind: 'running' }>): string {
  const problem = answer.kind === 'absent' ? 'no server answers' : answer.problem;
  return `The Redis at EPHEMERA_REDIS_URL (${withoutPassword(url)}) cannot be used: ${problem}.`;
}

function warnOfEviction(report: Reporter, { policy }: RedisAnswer & { kind: 'running' }): void {
  if (policy === undefined || policy === 'noeviction') return;
  report.warn(
    `This Redis may evict keys (maxmemory-policy ${policy}), so instances can be lost ` +
      'before their deadline. Set maxmemory-policy to noeviction.',
  );
}

function withoutPassword(url: string): string {
  const shown = new URL(url);
  if (shown.password) shown.password = '***';
  return shown.href;
}
