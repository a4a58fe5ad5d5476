import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { freePort } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';

import { defaultDockerEndpoint, parseDockerHost, pingDocker } from './docker-endpoint.ts';

const input = process.env['DOCKER_HOST'];

test('a Docker Engine reports its version', async () => {
  const endpoint = input ? parseDockerHost(input) : defaultDockerEndpoint;
  const answer = await pingDocker(endpoint);
  expect(answer.kind === 'running' && answer.engine).toMatch(/^Docker \d+\./);
});

test('a missing socket or a closed port is an absent engine', async () => {
  const port = await freePort();
  expect(await pingDocker({ kind: 'unix', path: '/nowhere/docker.sock' })).toEqual({
    kind: 'absent',
  });
  expect(await pingDocker({ kind: 'tcp', host: '127.0.0.1', port })).toEqual({ kind: 'absent' });
});

test('another server on the port is not taken for Docker', async () => {
  const port = await serve(200);
  const answer = await pingDocker({ kind: 'tcp', host: '127.0.0.1', port });
  expect(answer).toEqual({ kind: 'broken', problem: 'GET /_ping answered 200' });
});

test('a server that never answers does not block the start', async () => {
  const port = await serve(undefined);
  const answer = await pingDocker({ kind: 'tcp', host: '127.0.0.1', port }, 100);
  expect(answer).toEqual({ kind: 'broken', problem: 'no answer' });
});

/** A server that is not Docker. Without a status it never answers. */
async function serve(status: number | undefined): Promise<number> {
  const server = createServer((_, response) => {
    if (status !== undefined) response.writeHead(status).end('hello');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}
