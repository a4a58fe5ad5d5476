import { createServer, type AddressInfo } from 'node:net';

import { freePort, startRedis } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';

import { pingRedis } from './ping-redis.ts';

test('a Redis reports its version and its eviction policy', async () => {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const answer = await pingRedis(redis.url);
  expect(answer).toMatchObject({ kind: 'running', policy: 'noeviction' });
  expect(answer.kind === 'running' && answer.version).toMatch(/^\d+\.\d+/);
});

test('a closed port is an absent Redis', async () => {
  expect(await pingRedis(`redis://127.0.0.1:${await freePort()}`)).toEqual({ kind: 'absent' });
});

test('a Redis that requires a password is reported', async () => {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  await setPassword(redis.url);
  const answer = await pingRedis(redis.url);
  expect(answer.kind === 'refused' && answer.problem).toContain('NOAUTH');
  expect((await pingRedis(redis.url.replace('//', '//:secret@'))).kind).toBe('running');
});

test.each([
  [
    'answers in another protocol',
    'HTTP/1.1 400 Bad Request\r\n\r\n',
    'the server does not speak the Redis protocol',
  ],
  ['never answers', '', 'Command timed out'],
])('a server that %s is not taken for a Redis', async (_, words, problem) => {
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
