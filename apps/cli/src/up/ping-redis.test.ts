import { createServer, type AddressInfo, type Socket } from 'node:net';

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

test.each([
  ['Valkey', '8.1.1', 'redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.1\r\n'],
  ['Redis', '8.0.2', 'redis_version:8.0.2\r\nredis_git_sha1:00000000\r\n'],
  ['Redis', '7.2.4', 'redis_version:7.2.4\r\nserver_name:other\r\n'],
])('%s %s is reported with its own name and version', async (product, version, fields) => {
  const info = `# Server\r\n${fields}`;
  const answers: Readonly<Record<string, string>> = {
    info: `$${info.length}\r\n${info}\r\n`,
    config: '*2\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n',
  };
  const port = await serve((socket) => {
    socket.on('data', (data) => {
      for (const [, name = ''] of data.toString().matchAll(/\*\d+\r\n\$\d+\r\n(\w+)/g)) {
        socket.write(answers[name.toLowerCase()] ?? '+OK\r\n');
      }
    });
  });
  const policy = 'noeviction';
  const running = { kind: 'running', product, version, policy };
  expect(await pingRedis(`redis://127.0.0.1:${port}`)).toEqual(running);
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
  const port = await serve((socket) => socket.write(words));
  const answer = await pingRedis(`redis://127.0.0.1:${port}`, { timeoutMs: 300 });
  expect(answer).toEqual({ kind: 'refused', problem });
});

/** Starts a TCP server for a test. @returns its port on the loopback address */
async function serve(onConnection: (socket: Socket) => unknown): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    onConnection(socket);
    onTestFinished(() => void socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function setPassword(url: string): Promise<void> {
  const { Redis } = await import('ioredis');
  const redis = new Redis(url);
  await redis.config('SET', 'requirepass', 'secret');
  redis.disconnect();
}
