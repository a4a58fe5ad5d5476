import { freePort, startRedis } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { describeError, withoutCredentials, createLogger } from './logger.ts';

function recording() {
  const lines: string[] = [];
  const out = { write: (line: string) => void lines.push(line) };
  return { lines, logger: createLogger('worker', 'info', out) };
}

// ioredis attaches the whole command to its errors, so serializing an error would log its
// arguments.
test('a refused login does not log the password', async () => {
  const server = await startRedis();
  onTestFinished(() => server.stop());
  const owner = new Redis(server.url);
  await owner.config('SET', 'requirepass', 'right');
  owner.disconnect();
  const { lines, logger } = recording();
  const url = server.url.replace('//', '//user:hunter2@');
  const redis = new Redis(url, { retryStrategy: () => null });
  const reported = new Promise<Error>((resolve) => redis.once('error', resolve));
  const error = await reported;
  logger.warn({ err: error }, 'redis fault');
  redis.disconnect();
  expect(lines.join('')).toMatch(/WRONGPASS/);
  expect(lines.join('')).not.toContain('hunter2');
});

test('a failed script does not log its arguments', async () => {
  const server = await startRedis();
  onTestFinished(() => server.stop());
  const { lines, logger } = recording();
  const redis = new Redis(server.url);
  const error: unknown = await redis
    .eval('return redis.error_reply("ERR no")', 0, 'SECRET=hunter2')
    .catch((reason: unknown) => reason);
  logger.error({ err: error }, 'bug');
  redis.disconnect();
  expect(lines.join('')).toMatch(/ERR no.*"command":"eval"/s);
  expect(lines.join('')).not.toContain('hunter2');
});

test('causes are included up to a maximum depth', async () => {
  const port = await freePort();
  const refused: unknown = await fetch(`http://127.0.0.1:${port}/`).catch((e: unknown) => e);
  expect(describeError(refused)).toMatchObject({
    type: 'TypeError',
    message: 'fetch failed',
    cause: { code: 'ECONNREFUSED' },
  });
  const loop = new Error('again');
  loop.cause = loop;
  expect(JSON.stringify(describeError(loop)).match(/"again"/g)).toHaveLength(6);
  expect(describeError('text')).toEqual({ type: 'string', message: 'text' });
});

test.each([
  ['at redis://user:pass@host:1/0 it', 'at redis://user:***@host:1/0 it'],
  ['rediss://:p%40ss@host', 'rediss://:***@host'],
  ['https://hooks.example/path', 'https://hooks.example/path'],
  ['redis://host:6379/0', 'redis://host:6379/0'],
  ['a@b', 'a@b'],
])('%s → %s', (text, becomes) => {
  expect(withoutCredentials(text)).toBe(becomes);
});
