import { join, relative } from 'node:path';

import { BootError, isSentinelUrl, redactRedisUrl } from '@ephemera/domain';
import type { RedisAddress } from '@ephemera/domain';
import type { Reporter } from '../terminal/reporter.ts';
import { keepSecret, readSecret } from '../state-folder.ts';
import { installPackages, missingPackages, type Package } from './install-packages.ts';
import { pingRedis, type RedisAnswer } from './ping-redis.ts';
import { hasServiceManager } from './service-manager.ts';
import { redisProcess, startRedisService } from './start-redis.ts';
import type { Supervise } from './supervised-process.ts';

const serverPackage: Package = { name: 'redis-server', program: 'redis-server' };
const usualPort = 6379;

export interface RedisOptions {
  /** The address at EPHEMERA_REDIS_URL, if that is set. */
  readonly configured: RedisAddress | undefined;
  /** The folder for the data and the log of a Redis that is started here. */
  readonly stateFolder: string;
  /** The folder that keeps the password of a Redis that is started here, for all namespaces. */
  readonly secrets: string;
  /** The port where a Redis is looked for, and started. Default: 6379. */
  readonly port?: number;
  readonly supervise: Supervise;
  readonly stop: AbortSignal;
}

/**
 * Ensures that a Redis answers: the one at `EPHEMERA_REDIS_URL`, or the one on the usual port, or
 * one that is installed and started here, with a generated password.
 *
 * @returns its URL, with the password
 */
export async function findRedis(report: Reporter, options: RedisOptions): Promise<string> {
  const { configured, stateFolder, secrets, port = usualPort, stop } = options;
  const plainUrl = configured?.url ?? `redis://127.0.0.1:${port}/0`;
  // Another start may have started it, with the password that is kept here.
  const kept = configured === undefined ? readSecret(secrets, 'redis-password') : undefined;
  const candidates = kept === undefined ? [plainUrl] : [plainUrl, withPassword(plainUrl, kept)];
  let unusable: Exclude<RedisAnswer, { kind: 'running' }> | undefined;
  for (const url of candidates) {
    const answer = await pingRedis({ ...configured, url });
    if (answer.kind === 'running') {
      report.done(answer.product, `${answer.version} at ${redactRedisUrl(url)}`);
      warnOfEviction(report, answer);
      if (configured?.tls?.cert === undefined) warnOfOpenRedis(report, url);
      return url;
    }
    unusable ??= answer;
  }
  const problem = unusable?.kind === 'refused' ? unusable.problem : 'no server answers';
  if (configured !== undefined) {
    const shown = redactRedisUrl(configured.url);
    throw new BootError(`The Redis at EPHEMERA_REDIS_URL (${shown}) cannot be used: ${problem}.`);
  }
  if (unusable?.kind === 'refused' && /^(?:NOAUTH|WRONGPASS)\b/.test(problem)) {
    throw new BootError(
      `Port ${port} is in use by a server that cannot be used as Redis: ${problem}\n` +
        'Set EPHEMERA_REDIS_URL to its address with the password: ' +
        `redis://:PASSWORD@127.0.0.1:${port}/0.\n` +
        `${join(secrets, 'redis-password')} ${kept === undefined ? 'does not exist' : 'has another password'}. ` +
        "`npm start` gives Debian's Redis service a password, and keeps it in that file of its own checkout. " +
        'If another checkout did that and is gone, `sudo grep requirepass /etc/redis/redis.conf` shows the password.',
    );
  }
  if (unusable?.kind === 'refused') {
    throw new BootError(
      `Port ${port} is in use by a server that cannot be used as Redis: ${problem}.\n` +
        'Free the port, or set EPHEMERA_REDIS_URL to the Redis to use, with its password.',
    );
  }
  const missing = missingPackages([serverPackage]);
  if (missing.length > 0) {
    await report.step('Install Redis', (onProgress) => installPackages(missing, onProgress, stop));
    stop.throwIfAborted();
  }
  const securedUrl = withPassword(plainUrl, keepSecret(secrets, 'redis-password'));
  await report.step('Redis', async (onProgress) => {
    if (hasServiceManager()) {
      onProgress('systemctl start redis-server');
      await startRedisService(plainUrl, securedUrl, stop);
      onProgress(`service started at ${plainUrl}`);
    } else {
      const folder = join(stateFolder, 'redis');
      const spec = redisProcess(folder, securedUrl, join(stateFolder, 'logs/redis.log'));
      const [server] = options.supervise([spec]);
      await server?.ready(stop);
      onProgress(`started at ${plainUrl}, its data in ${relative('.', folder)}`);
    }
  });
  return securedUrl;
}

function withPassword(url: string, password: string): string {
  const secured = new URL(url);
  secured.password = password;
  return secured.href;
}

function warnOfEviction(report: Reporter, { policy }: RedisAnswer & { kind: 'running' }): void {
  if (policy === undefined || policy === 'noeviction') return;
  report.warn(
    `This Redis may evict keys (maxmemory-policy ${policy}), so instances can be lost ` +
      'before their deadline. Set maxmemory-policy to noeviction.',
  );
}

/** @param url that has been used */
function warnOfOpenRedis(report: Reporter, url: string): void {
  if (isSentinelUrl(url)) return;
  const { hostname, password } = new URL(url);
  if (password !== '' || !/^(?:localhost|127\.[\d.]+|\[::1\])$/.test(hostname)) return;
  report.warn(
    'This Redis has no password. Every user and program of this machine can read the data of all ' +
      'instances and end them. Set requirepass in its configuration, and EPHEMERA_REDIS_URL to its ' +
      'address with the password.',
  );
}
