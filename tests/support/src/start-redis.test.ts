import { spawn } from 'node:child_process';
import { existsSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { startRedis } from './start-redis.ts';
import { waitFor } from './wait-for.ts';

const lives = (pid: number) => existsSync(`/proc/${pid}`);

test('is a Redis without eviction, and is removed with its folder by stop', async () => {
  const { url, pid, stop } = await startRedis();
  const redis = new Redis(url);
  expect(await redis.config('GET', 'maxmemory-policy')).toContain('noeviction');
  const folder = readlinkSync(`/proc/${pid}/cwd`);
  redis.disconnect();
  await stop();
  expect([lives(pid), existsSync(folder)]).toEqual([false, false]);
});

test('can be stopped while it is frozen or already dead', async () => {
  for (const signal of ['SIGSTOP', 'SIGKILL'] as const) {
    const { pid, stop } = await startRedis();
    process.kill(pid, signal);
    await stop();
    expect(lives(pid)).toBe(false);
  }
});

test('ends with the process that started it, however that process ends', async () => {
  const code = `
    const { startRedis } = await import(${JSON.stringify(join(import.meta.dirname, 'start-redis.ts'))});
    process.stdout.write(String((await startRedis()).pid));
    setInterval(() => undefined, 1000);
  `;
  const starter = spawn(process.execPath, ['--input-type=module', '-e', code]);
  const pid = await new Promise<number>((resolve) => {
    starter.stdout.once('data', (text: Buffer) => resolve(Number(text.toString())));
  });
  expect(lives(pid)).toBe(true);
  starter.kill('SIGKILL');
  await waitFor('it to end', () => !lives(pid));
});
