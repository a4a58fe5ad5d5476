import { expect, test } from 'vitest';
import { openRedis } from '../test/open-redis.ts';
import { redisInstanceWarnings, WARNING_TTL_MS } from './instance-warnings.ts';
import { keysOf } from './keys.ts';

const keys = keysOf('test');
const { redis } = await openRedis();

test('the last warning of each kind is kept for an hour, and its text is bounded', async () => {
  const warnings = redisInstanceWarnings(redis, keys);
  expect(await warnings.read('a')).toEqual([]);
  await warnings.save('a', { kind: 'missing_base_path', detail: 'path', at: 1 });
  await warnings.save('a', { kind: 'upstream_failure', detail: 'first', at: 2 });
  await warnings.save('a', { kind: 'upstream_failure', detail: 'x'.repeat(100_000), at: 3 });
  expect(await warnings.read('a')).toEqual([
    { kind: 'upstream_failure', detail: 'x'.repeat(1_000), at: 3 },
    { kind: 'missing_base_path', detail: 'path', at: 1 },
  ]);
  expect(await warnings.read('b')).toEqual([]);
  for (const key of await redis.keys('*')) {
    const left = await redis.pttl(key);
    expect(left).toBeGreaterThan(WARNING_TTL_MS - 60_000);
    expect(left).toBeLessThanOrEqual(WARNING_TTL_MS);
  }
});
