import { BootError } from '@ephemera/domain';
import { freePort, startRedis, waitFor } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';
import { connectRedis, isRedisUnavailable } from './connect-redis.ts';
import type { ConnectionProfile } from './connect-redis.ts';
import { requireRedis } from './require-redis.ts';

function connect(url: string, profile: ConnectionProfile = 'request') {
  const redis = connectRedis(url, profile, () => undefined);
  onTestFinished(() => redis.disconnect());
  return redis;
}

test('names the unreachable address without its password', async () => {
  const url = `redis://:hunter2@127.0.0.1:${await freePort()}/0`;
  const required = requireRedis(connect(url, 'job'), url);
  await expect(required).rejects.toThrow(BootError);
  await expect(required).rejects.toThrow(/Redis does not answer at redis:\/\/:\*\*\*@127/);
  await expect(required).rejects.not.toThrow(/hunter2/);
});

test('the request profile connects, and fails at once when Redis stops', async () => {
  const server = await startRedis();
  const redis = connect(server.url);
  await requireRedis(redis, server.url);
  expect(await redis.ping()).toBe('PONG');
  await server.stop();
  await waitFor('the loss to be noticed', () => redis.status !== 'ready');
  const began = Date.now();
  const error: unknown = await redis.get('x').catch((reason: unknown) => reason);
  expect(Date.now() - began).toBeLessThan(1_000);
  expect(isRedisUnavailable(error)).toBe(true);
});

test('the job profile waits until Redis is back', async () => {
  const port = await freePort();
  const redis = connect(`redis://127.0.0.1:${port}/0`, 'job');
  const answer = redis.ping();
  const server = await startRedis({ port });
  expect(await answer).toBe('PONG');
  await server.stop();
});

test('a refused command does not count as an unavailable Redis', async () => {
  const server = await startRedis();
  const redis = connect(server.url);
  await requireRedis(redis, server.url);
  await redis.set('text', 'x');
  const error: unknown = await redis.lpush('text', 'y').catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(Error);
  expect(isRedisUnavailable(error)).toBe(false);
  await server.stop();
});
