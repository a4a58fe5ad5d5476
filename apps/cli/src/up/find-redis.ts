import { join } from 'node:path';

import { Refusal } from '../refusal.ts';
import type { Reporter } from '../terminal/reporter.ts';
import { installPackages, missingPackages, type Package } from './install-packages.ts';
import { pingRedis, type RedisAnswer } from './ping-redis.ts';
import { hasServiceManager } from './service-manager.ts';
import { startRedis, startRedisService, type OwnRedis } from './start-redis.ts';

const serverPackage: Package = { name: 'redis-server', program: 'redis-server' };
const ownPort = 6379;

export interface FoundRedis {
  readonly url: string;
  /** Present where this start had to run a process of its own. */
  readonly own?: OwnRedis;
}

/**
 * Makes sure that a Redis answers: the one that `EPHEMERA_REDIS_URL` names, else what answers on
 * the usual port, else one that is installed and started here.
 */
export async function findRedis(
  report: Reporter,
  given: string | undefined,
  folder: string,
): Promise<FoundRedis> {
  const url = given ?? `redis://127.0.0.1:${ownPort}/0`;
  const answer = await pingRedis(url);
  if (answer.kind === 'running') {
    report.done('Redis', `${answer.version} at ${withoutPassword(url)}`);
    warnOfEviction(report, answer);
    return { url };
  }
  if (given) throw new Refusal(unusable(url, answer));
  if (answer.kind === 'refused') {
    throw new Refusal(
      `Port ${ownPort} is taken, and not by a Redis that may be used: ${answer.problem}.\n` +
        'Free the port, or set EPHEMERA_REDIS_URL to the Redis to use.',
    );
  }
  const missing = missingPackages([serverPackage]);
  if (missing.length > 0) {
    await report.step('Install Redis', (tell) => installPackages(missing, tell));
  }
  return report.step('Redis', async (tell) => {
    if (hasServiceManager()) {
      tell('systemctl start redis-server');
      await startRedisService(url);
      tell(`service started at ${url}`);
      return { url };
    }
    tell('starting redis-server');
    const own = await startRedis(join(folder, 'redis'), ownPort, join(folder, 'logs/redis.log'));
    tell(`started at ${url}, its file in ${join(folder, 'redis')}`);
    return { url, own };
  });
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
