import { mkdirSync } from 'node:fs';

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
 * that a restart restores the data.
 */
export function redisProcess(folder: string, port: number, logFile: string): ProcessSpec {
  mkdirSync(folder, { recursive: true });
  const settings = {
    bind: '127.0.0.1',
    port: String(port),
    dir: folder,
    appendonly: 'yes',
    'maxmemory-policy': 'noeviction',
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  return {
    name: 'Redis',
    command: [findProgram('redis-server') ?? 'redis-server', ...args],
    environment: {},
    logFile,
    isReady: async () => (await pingRedis(`redis://127.0.0.1:${port}`)).kind === 'running',
  };
}

/** Starts Debian's service, and configures an append-only file and no eviction. */
export async function startRedisService(url: string, stop: AbortSignal): Promise<void> {
  await runCommand('systemctl', ['start', 'redis-server']);
  const answers = async () => (await pingRedis(url)).kind === 'running';
  const up = await waitUntil(answers, readyTimeoutMs, stop);
  if (!up) throw new BootError('redis-server does not answer; see: journalctl -u redis-server');
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
  try {
    await redis.connect();
    await redis.config('SET', 'maxmemory-policy', 'noeviction');
    await redis.config('SET', 'appendonly', 'yes');
    await redis.config('REWRITE');
  } finally {
    redis.disconnect();
  }
}
