import { createServer, type AddressInfo } from 'node:net';

import { freePort, startRedis } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';

import { pingRedis } from './ping-redis.ts';

test('a Redis tells its version and what it does when memory is full', async () => {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const answer = await pingRedis(redis.url);
  expect(answer).toMatchObject({ kind: 'running', policy: 'noeviction' });
  expect(answer.kind === 'running' && answer.version).toMatch(/^\d+\.\d+/);
});

test('a free port is a Redis that is absent', async () => {
  expect(await pingRedis(`redis://127.0.0.1:${await freePort()}`)).toEqual({ kind: 'absent' });
});

test('a Redis that wants a password says so', async () => {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  await setPassword(redis.url);
  const answer = await pingRedis(redis.url);
  expect(answer.kind === 'refused' && answer.problem).toContain('NOAUTH');
  expect((await pingRedis(redis.url.replace('//', '//:secret@'))).kind).toBe('running');
});

test.each([
  ['answers in another protocol', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'what answers is no Redis'],
  ['never answers', '', 'Command timed out'],
])('what %s is not taken for a Redis', async (_, words, problem) => {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.write(words);
    onTestFinished(() => void socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const answer = await pingRedis(`redis://127.0.0.1:${port}`, { timeoutMs: 300 });
  expect(answer).toEqual({ kind: 'refused', problem });
});

async function setPassword(url: string): Promise<void> {
  const { Redis } = await import('ioredis');
  const redis = new Redis(url);
  await redis.config('SET', 'requirepass', 'secret');
  redis.disconnect();
}
