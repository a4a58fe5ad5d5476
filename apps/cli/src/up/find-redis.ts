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
  /** EPHEMERA_REDIS_URL, where it is set. */
  readonly configuredUrl: string | undefined;
  /** Whom to trust, and who we are, where it is a `rediss://`; PEM. */
  readonly tls: RedisTls;
  /** Where its file and its log go, should a process of our own be needed. */
  readonly stateFolder: string;
  readonly supervise: Supervise;
  readonly stop: AbortSignal;
}

/**
 * Makes sure that a Redis answers: the one that `EPHEMERA_REDIS_URL` names, else what answers on
 * the usual port, else one that is installed and started here.
 *
 * @returns its address
 */
export async function findRedis(report: Reporter, options: RedisOptions): Promise<string> {
  const { configuredUrl, tls, stateFolder, stop } = options;
  const url = configuredUrl ?? `redis://127.0.0.1:${ownPort}/0`;
  const answer = await pingRedis(url, { tls });
  if (answer.kind === 'running') {
    report.done('Redis', `${answer.version} at ${withoutPassword(url)}`);
    warnOfEviction(report, answer);
    return url;
  }
  if (configuredUrl !== undefined) throw new BootError(unusable(url, answer));
  if (answer.kind === 'refused') {
    throw new BootError(
      `Port ${ownPort} is taken, and not by a Redis that may be used: ${answer.problem}.\n` +
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
      onProgress(`started at ${url}, its file in ${relative('.', folder)}`);
    }
  });
  return url;
}

function unusable(url: string, answer: Exclude<RedisAnswer, { kind: 'running' }>): string {
  const problem = answer.kind === 'absent' ? 'nothing answers there' : answer.problem;
  return `EPHEMERA_REDIS_URL names ${withoutPassword(url)}, which cannot be used: ${problem}.`;
}

function warnOfEviction(report: Reporter, { policy }: RedisAnswer & { kind: 'running' }): void {
  if (policy === undefined || policy === 'noeviction') return;
  report.warn(
    `This Redis may throw keys away (maxmemory-policy ${policy}); instances could be forgotten ` +
      'before their time. Set it to noeviction.',
  );
}

function withoutPassword(url: string): string {
  const shown = new URL(url);
  if (shown.password) shown.password = '***';
  return shown.href;
}
