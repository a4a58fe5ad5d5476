import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, startRedis } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';

import { createReporter } from '../terminal/reporter.ts';
import { findRedis } from './find-redis.ts';

function find(configuredUrl: string | undefined, more: { port?: number; secrets?: string } = {}) {
  const shown: string[] = [];
  const found = findRedis(createReporter({ write: (text) => shown.push(text) }), {
    configured: configuredUrl === undefined ? undefined : { url: configuredUrl },
    stateFolder: '/nowhere',
    secrets: '/nowhere',
    supervise: () => expect.fail('a given Redis is never started'),
    stop: new AbortController().signal,
    ...more,
  });
  return { found, shown: () => shown.join('') };
}

test('a configured Redis is used, and its password is not shown', async () => {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const url = redis.url.replace('//', '//default:secret@');
  const { found, shown } = find(url);
  expect(await found).toBe(url);
  expect(shown()).toMatch(/✓ Redis: 7\.\S+ at redis:\/\/default:\*\*\*@127/);
});

test('a Redis that may evict keys is used with a warning', async () => {
  const redis = await startRedis({ args: ['--maxmemory-policy', 'allkeys-lru'] });
  onTestFinished(() => redis.stop());
  const { found, shown } = find(redis.url);
  await found;
  expect(shown()).toContain('maxmemory-policy allkeys-lru');
});

test('a local Redis without a password is used with a warning', async () => {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const open = find(redis.url);
  await open.found;
  expect(open.shown()).toMatch(/no password.*requirepass.*EPHEMERA_REDIS_URL/s);
  const guarded = find(redis.url.replace('//', '//:secret@'));
  await guarded.found;
  expect(guarded.shown()).not.toContain('no password');
});

// `npm start` of another checkout has set the password of the Redis service.
test.each([
  ['does not exist', undefined],
  ['has another password', 'of-this-checkout'],
])('a refused password is explained where the kept one %s', async (state, kept) => {
  const redis = await startRedis();
  const admin = new Redis(redis.url);
  await admin.config('SET', 'requirepass', 'of-another-checkout');
  admin.disconnect();
  const secrets = mkdtempSync(join(tmpdir(), 'ephemera-secrets-'));
  onTestFinished(async () => {
    rmSync(secrets, { recursive: true });
    await redis.stop();
  });
  const file = join(secrets, 'redis-password');
  if (kept !== undefined) writeFileSync(file, `${kept}\n`, { mode: 0o600 });
  const { found } = find(undefined, { port: redis.port, secrets });
  const error = await found.then(
    () => undefined,
    (reason: unknown) => reason as Error,
  );
  expect(error?.message).toContain('NOAUTH');
  expect(error?.message).toContain(`redis://:PASSWORD@127.0.0.1:${redis.port}/0`);
  expect(error?.message).toContain(`${file} ${state}`);
  expect(error?.message).toContain('requirepass');
});

test('a configured Redis that does not answer is not replaced', async () => {
  const { found } = find(`redis://:secret@127.0.0.1:${await freePort()}`);
  await expect(found).rejects.toThrow(
    /^The Redis at EPHEMERA_REDIS_URL \(redis:\/\/:\*\*\*@.*no server answers/,
  );
});
