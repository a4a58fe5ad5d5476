import { freePort, startRedis } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';

import { createReporter } from '../terminal/reporter.ts';
import { findRedis } from './find-redis.ts';

function find(configuredUrl: string) {
  const shown: string[] = [];
  const found = findRedis(createReporter({ write: (text) => shown.push(text) }), {
    configuredUrl,
    tls: {},
    stateFolder: '/nowhere',
    secrets: '/nowhere',
    supervise: () => expect.fail('a given Redis is never started'),
    stop: new AbortController().signal,
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

test('a configured Redis that does not answer is not replaced', async () => {
  const { found } = find(`redis://:secret@127.0.0.1:${await freePort()}`);
  await expect(found).rejects.toThrow(
    /^The Redis at EPHEMERA_REDIS_URL \(redis:\/\/:\*\*\*@.*no server answers/,
  );
});
