import { ApiError } from '@ephemera/domain';
import { startRedis } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import {
  AUTH_WINDOW_SECONDS,
  MAX_INVALID_TOKENS,
  createAuthThrottle,
  identifyThrottled,
} from './auth-throttle.ts';

let server: Awaited<ReturnType<typeof startRedis>>;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());

async function connect(url = server.url): Promise<Redis> {
  const redis = new Redis(url, { enableOfflineQueue: false, maxRetriesPerRequest: 1 });
  redis.on('error', () => undefined);
  await new Promise((resolve) => redis.once('ready', resolve));
  onTestFinished(() => redis.disconnect());
  return redis;
}

const guess = async (throttle: ReturnType<typeof createAuthThrottle>, address: string) => {
  try {
    await identifyThrottled(throttle, address, () => undefined);
    return 'accepted';
  } catch (error) {
    return error instanceof ApiError ? error.failure.kind : error;
  }
};

test('a client is blocked after its limit of invalid tokens, and no other client is', async () => {
  const throttle = createAuthThrottle(await connect(), 'auth-one');
  for (let i = 0; i < MAX_INVALID_TOKENS; i++) {
    expect(await guess(throttle, '203.0.113.7')).toBe('unauthorized');
  }
  expect(await guess(throttle, '203.0.113.7')).toBe('rate_limited');
  const resetsIn = await throttle.isBlocked('203.0.113.7');
  expect(resetsIn).toBeGreaterThan(0);
  expect(resetsIn).toBeLessThanOrEqual(AUTH_WINDOW_SECONDS);
  // A valid token is no exception.
  const valid = identifyThrottled(throttle, '203.0.113.7', () => 'admin');
  await expect(valid).rejects.toMatchObject({ failure: { kind: 'rate_limited' } });
  expect(await identifyThrottled(throttle, '203.0.113.8', () => 'admin')).toBe('admin');
});

test('an attacker who rotates through one IPv6 /64 is blocked', async () => {
  const throttle = createAuthThrottle(await connect(), 'auth-rotating');
  for (let i = 0; i < MAX_INVALID_TOKENS; i++) await guess(throttle, `2001:db8:1:2::${i + 1}`);
  expect(await guess(throttle, '2001:db8:1:2:ffff::1')).toBe('rate_limited');
  expect(await guess(throttle, '2001:db8:1:3::1')).toBe('unauthorized');
});

test('guesses sent in parallel do not exceed the limit', async () => {
  const throttle = createAuthThrottle(await connect(), 'auth-parallel');
  const answers = await Promise.all(Array.from({ length: 50 }, () => guess(throttle, '192.0.2.1')));
  const unauthorized = answers.filter((kind) => kind === 'unauthorized');
  expect(unauthorized).toHaveLength(MAX_INVALID_TOKENS);
});

test('two replicas share the count', async () => {
  const one = createAuthThrottle(await connect(), 'auth-shared');
  const two = createAuthThrottle(await connect(), 'auth-shared');
  for (let i = 0; i < MAX_INVALID_TOKENS; i++) {
    expect(await guess(i % 2 === 0 ? one : two, '192.0.2.2')).toBe('unauthorized');
  }
  expect(await guess(one, '192.0.2.2')).toBe('rate_limited');
  expect(await guess(two, '192.0.2.2')).toBe('rate_limited');
});

test('many other clients do not reset the count of a blocked one', async () => {
  const throttle = createAuthThrottle(await connect(), 'auth-overflow');
  for (let i = 0; i < MAX_INVALID_TOKENS; i++) await guess(throttle, '192.0.2.3');
  for (let i = 0; i < 200; i++) {
    await Promise.all(
      Array.from({ length: 60 }, (_, j) => throttle.recordFailure(`10.${i}.${j}.1`)),
    );
  }
  expect(await throttle.isBlocked('192.0.2.3')).toBeGreaterThan(0);
});

test('while Redis is unavailable each replica counts in its memory', async () => {
  const other = await startRedis();
  const redis = await connect(other.url);
  const throttle = createAuthThrottle(redis, 'auth-memory');
  await other.stop();
  await expect.poll(() => redis.status).not.toBe('ready');
  for (let i = 0; i < MAX_INVALID_TOKENS; i++) {
    expect(await guess(throttle, '192.0.2.4')).toBe('unauthorized');
  }
  expect(await guess(throttle, '192.0.2.4')).toBe('rate_limited');
  expect(await throttle.isBlocked('192.0.2.4')).toBeGreaterThan(0);
  expect(await identifyThrottled(throttle, '192.0.2.5', () => 'admin')).toBe('admin');
});

test('a client below its limit is not blocked, and a refusal names the address and the seconds', async () => {
  const throttle = createAuthThrottle(await connect(), 'auth-below');
  await guess(throttle, '192.0.2.6');
  expect(await throttle.isBlocked('192.0.2.6')).toBeUndefined();
  expect(await identifyThrottled(throttle, '192.0.2.6', () => 'admin')).toBe('admin');
  // Valid tokens do not count.
  for (let i = 0; i < 2 * MAX_INVALID_TOKENS; i++) {
    await identifyThrottled(throttle, '192.0.2.6', () => 'admin');
  }
  expect(await throttle.isBlocked('192.0.2.6')).toBeUndefined();
  for (let i = 1; i < MAX_INVALID_TOKENS; i++) await guess(throttle, '192.0.2.6');
  const refused = identifyThrottled(throttle, '192.0.2.6', () => undefined);
  const { failure } = (await refused.catch((error: unknown) => error)) as ApiError;
  expect(failure).toMatchObject({ kind: 'rate_limited', by: 'address' });
  const { resetsIn } = failure as Extract<typeof failure, { kind: 'rate_limited' }>;
  expect(resetsIn).toBeGreaterThan(AUTH_WINDOW_SECONDS / 2);
  expect(resetsIn).toBeLessThanOrEqual(AUTH_WINDOW_SECONDS);
});
