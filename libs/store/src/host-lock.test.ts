import { expect, test } from 'vitest';
import { openRedis } from '../test/open-redis.ts';
import { withHostLock } from './hosts.ts';

const { redis } = await openRedis();

test('one worker runs the work; the others skip it', async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  const first = withHostLock(redis, 'one', 30_000, () => promise);
  expect(await withHostLock(redis, 'one', 30_000, () => Promise.resolve('mine'))).toBeUndefined();
  expect(await withHostLock(redis, 'other', 30_000, () => Promise.resolve('mine'))).toBe('mine');
  resolve('done');
  expect(await first).toBe('done');
  expect(await withHostLock(redis, 'one', 30_000, () => Promise.resolve('mine'))).toBe('mine');
});

test('the lock is released when the work fails', async () => {
  const failing = withHostLock(redis, 'fails', 30_000, () => Promise.reject(new Error('broken')));
  await expect(failing).rejects.toThrow('broken');
  expect(await redis.exists('fails')).toBe(0);
});

// A worker that is stopped for longer than the lock lasts must not release the next holder's lock.
test('only its holder releases the lock', async () => {
  await withHostLock(redis, 'late', 30_000, async () => {
    await redis.set('late', 'somebody else');
  });
  expect(await redis.get('late')).toBe('somebody else');
});

test('the lock of a dead holder expires', async () => {
  void withHostLock(redis, 'dies', 30_000, () => new Promise(() => undefined));
  const ttl = await redis.pttl('dies');
  expect(ttl).toBeGreaterThan(0);
  expect(ttl).toBeLessThanOrEqual(30_000);
});
