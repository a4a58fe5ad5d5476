import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';

import { Redis } from 'ioredis';

import { Refusal } from '../refusal.ts';
import { findProgram } from './find-program.ts';
import { lastLines } from './last-lines.ts';
import { pingRedis } from './ping-redis.ts';
import { runCommand } from './run-command.ts';
import { waitUntil } from './wait-until.ts';

const readyWithinMs = 30_000;

/** A Redis process of our own; `stop` saves what it holds and ends when the process has. */
export interface OwnRedis {
  readonly pid: number;
  stop(): Promise<void>;
}

/**
 * Starts a redis-server on loopback that evicts nothing and writes every change to a file in
 * `folder`, so that a restart finds what there was.
 */
export async function startRedis(folder: string, port: number, logFile: string): Promise<OwnRedis> {
  mkdirSync(folder, { recursive: true });
  const log = openSync(logFile, 'a');
  const settings = {
    bind: '127.0.0.1',
    port: String(port),
    dir: folder,
    appendonly: 'yes',
    'maxmemory-policy': 'noeviction',
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  // A session of its own: Ctrl-C must end it last, after those who still write to it.
  const child = spawn(findProgram('redis-server') ?? 'redis-server', args, {
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  let ended = false;
  const hasEnded = () => ended;
  const exit = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  }).then(() => {
    ended = true;
  });
  const url = `redis://127.0.0.1:${port}`;
  const ready = await waitUntil(
    async () => hasEnded() || (await pingRedis(url)).kind === 'running',
    readyWithinMs,
  );
  if (!ready || hasEnded() || child.pid === undefined) {
    child.kill();
    throw new Refusal(`redis-server did not start. The end of ${logFile}:\n${lastLines(logFile)}`);
  }
  return {
    pid: child.pid,
    async stop() {
      child.kill('SIGTERM');
      await exit;
    },
  };
}

/** Starts Debian's service, and has it keep an append-only file and evict nothing. */
export async function startRedisService(url: string): Promise<void> {
  await runCommand('systemctl', ['start', 'redis-server']);
  const up = await waitUntil(async () => (await pingRedis(url)).kind === 'running', readyWithinMs);
  if (!up) throw new Refusal('redis-server does not answer; see: journalctl -u redis-server');
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
