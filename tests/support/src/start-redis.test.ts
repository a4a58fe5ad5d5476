import { spawn } from 'node:child_process';
import { existsSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { startRedis } from './start-redis.ts';
import { waitFor } from './wait-for.ts';

const lives = (pid: number) => existsSync(`/proc/${pid}`);

test('is a Redis that evicts nothing, and is gone with its folder after the stop', async () => {
  const { url, pid, stop } = await startRedis();
  const redis = new Redis(url);
  expect(await redis.config('GET', 'maxmemory-policy')).toContain('noeviction');
  const folder = readlinkSync(`/proc/${pid}/cwd`);
  redis.disconnect();
  await stop();
  expect([lives(pid), existsSync(folder)]).toEqual([false, false]);
});

test('can be stopped where it stands still, or is dead already', async () => {
  for (const signal of ['SIGSTOP', 'SIGKILL'] as const) {
    const { pid, stop } = await startRedis();
    process.kill(pid, signal);
    await stop();
    expect(lives(pid)).toBe(false);
  }
});

test('is gone with the process that started it, however that ends', async () => {
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
  await waitFor('it to be gone', () => !lives(pid));
});
