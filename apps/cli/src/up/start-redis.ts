import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { BootError } from '@ephemera/domain';
import { Redis } from 'ioredis';

import { findProgram } from './find-program.ts';
import { pingRedis } from './ping-redis.ts';
import { runCommand } from './run-command.ts';
import type { ProcessSpec } from './supervised-process.ts';
import { waitUntil } from './wait-until.ts';

const readyTimeoutMs = 30_000;

/**
 * A redis-server on loopback that evicts nothing and appends every change to a file in `folder`, so
 * that a restart restores the data. It reads its password from a file that only its owner can read,
 * because every user of the machine sees command lines.
 *
 * @param url with port and password
 */
export function redisProcess(folder: string, url: string, logFile: string): ProcessSpec {
  const { port, password } = new URL(url);
  const settings = {
    bind: '127.0.0.1',
    port,
    dir: folder,
    appendonly: 'yes',
    'maxmemory-policy': 'noeviction',
    requirepass: password,
  };
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, 'redis.conf');
  const lines = Object.entries(settings).map(([name, value]) => `${name} ${quoted(value)}\n`);
  writeFileSync(file, lines.join(''), { mode: 0o600 });
  return {
    name: 'Redis',
    command: [findProgram('redis-server') ?? 'redis-server', file],
    environment: {},
    logFile,
    isReady: async () => (await pingRedis(url)).kind === 'running',
  };
}

/** A value of redis.conf; a path may contain spaces. */
function quoted(value: string): string {
  return `"${value.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
}

/**
 * Starts Debian's service, and configures an append-only file, no eviction and, if it has none, a
 * password.
 *
 * @param url without a password
 * @param securedUrl with the password to set
 */
export async function startRedisService(
  url: string,
  securedUrl: string,
  stop: AbortSignal,
): Promise<void> {
  await runCommand('systemctl', ['start', 'redis-server']);
  let reached: string | undefined;
  const answers = async () => {
    for (const candidate of [url, securedUrl]) {
      if ((await pingRedis(candidate)).kind === 'running') reached = candidate;
    }
    return reached !== undefined;
  };
  await waitUntil(answers, readyTimeoutMs, stop);
  if (reached === undefined) {
    throw new BootError(
      'redis-server does not answer, or it has a password of its own. See: journalctl -u redis-server, ' +
        'and set EPHEMERA_REDIS_URL to its address with the password.',
    );
  }
  await configureRedis(reached, new URL(securedUrl).password);
}

/** Sets what a Redis of this machine needs, and writes it to its configuration file. */
export async function configureRedis(url: string, password: string): Promise<void> {
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
  try {
    await redis.connect();
    await redis.config('SET', 'maxmemory-policy', 'noeviction');
    await redis.config('SET', 'appendonly', 'yes');
    await redis.config('SET', 'requirepass', password);
    await redis.config('REWRITE');
  } finally {
    redis.disconnect();
  }
}
