import { readFileSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { freePort } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';

import { createReporter } from '../terminal/reporter.ts';
import { prepareStateFolder } from '../state-folder.ts';
import { findRedis } from './find-redis.ts';
import { pingRedis } from './ping-redis.ts';
import { configureRedis, redisProcess } from './start-redis.ts';
import { SupervisedProcess } from './supervised-process.ts';

const report = createReporter({ write: () => undefined });

/** Finds Redis on a port where none runs, as the first start on a machine does. */
async function start() {
  const folder = mkdtempSync(join(tmpdir(), 'ephemera start-redis-'));
  const port = await freePort();
  let server: SupervisedProcess | undefined;
  onTestFinished(async () => {
    await server?.stop();
    rmSync(folder, { recursive: true });
  });
  prepareStateFolder(folder, folder);
  const find = (secrets = folder) =>
    findRedis(report, {
      configured: undefined,
      stateFolder: folder,
      secrets,
      port,
      supervise: ([spec]) => {
        server = new SupervisedProcess(spec ?? expect.fail(), report);
        return [server];
      },
      stop: new AbortController().signal,
    });
  return { folder, port, url: await find(), find };
}

/** The command lines of all processes. Every user of a machine can read them. */
function commandLines(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      } catch {
        return '';
      }
    });
}

test('a Redis that is started here refuses users without the generated password', async () => {
  const { folder, port, url } = await start();
  const { password } = new URL(url);
  expect(password).toMatch(/^[\w-]{43}$/);
  expect(await pingRedis(`redis://127.0.0.1:${port}/0`)).toMatchObject({
    kind: 'refused',
    problem: expect.stringContaining('NOAUTH') as string,
  });
  expect(commandLines().filter((line) => line.includes(password))).toEqual([]);

  const redis = new Redis(url);
  onTestFinished(() => redis.disconnect());
  expect(await redis.set('key', 'value')).toBe('OK');

  const left = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  expect(left).toContain('redis/appendonlydir');
  for (const name of left) {
    const stats = statSync(join(folder, name));
    expect([name, (stats.mode & 0o777).toString(8)]).toEqual([
      name,
      stats.isDirectory() ? '700' : '600',
    ]);
  }
});

test('a second start uses a Redis that the first one has started', async () => {
  const { url, find } = await start();
  expect(await find()).toBe(url);
});

test('a Redis with an unknown password is not used', async () => {
  const { find } = await start();
  await expect(find('/nowhere')).rejects.toThrow(
    /is in use by a server that cannot be used as Redis: NOAUTH.*\n.*EPHEMERA_REDIS_URL/,
  );
});

test('a service without a password is given one, and keeps it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ephemera-service-'));
  const plain = `redis://127.0.0.1:${await freePort()}/0`;
  const spec = redisProcess(folder, plain, join(folder, 'log'));
  const server = new SupervisedProcess(spec, report);
  onTestFinished(async () => {
    await server.stop();
    rmSync(folder, { recursive: true });
  });
  await server.ready(new AbortController().signal);
  await configureRedis(plain, 'secret');
  expect((await pingRedis(plain)).kind).toBe('refused');
  expect((await pingRedis(plain.replace('//', '//:secret@'))).kind).toBe('running');
  expect(readFileSync(join(folder, 'redis.conf'), 'utf8')).toMatch(/^requirepass "secret"$/m);
});
