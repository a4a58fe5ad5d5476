import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { connectDocker, withDeadline } from './docker-client.ts';
import { onDockerError } from './docker-errors.ts';

/** A client of a daemon that answers a call for a container by the container's name. */
async function connect() {
  const server = createServer((req, res) => {
    const name = /containers\/(\w+)\//.exec(req.url ?? '')?.[1];
    if (name === 'closed') req.socket.destroy();
    else if (name !== 'silent') res.writeHead(Number(name)).end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const docker = connectDocker(`tcp://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const reasons: string[] = [];
  onDockerError(docker, (reason) => reasons.push(reason));
  const stop = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  onTestFinished(stop);
  return { docker, reasons, stop };
}

test('failures of the daemon are reported, and those of single containers are not', async () => {
  const { docker, reasons, stop } = await connect();
  await docker.getContainer('200').inspect();
  for (const name of ['404', '409']) {
    await expect(docker.getContainer(name).inspect()).rejects.toThrow(name);
  }
  expect(reasons).toEqual([]);
  await expect(docker.getContainer('500').inspect()).rejects.toThrow('500');
  expect(reasons).toEqual(['server_error']);
  await expect(docker.getContainer('closed').inspect()).rejects.toThrow('hang up');
  expect(reasons).toEqual(['server_error', 'connection']);
  await stop();
  await expect(docker.ping()).rejects.toThrow('ECONNREFUSED');
  expect(reasons).toEqual(['server_error', 'connection', 'connection']);
});

test('a call that is aborted at its deadline is reported', async () => {
  const { docker, reasons } = await connect();
  const inspect = (abortSignal: AbortSignal) =>
    docker.getContainer('silent').inspect({ abortSignal });
  await expect(withDeadline('inspect', 50, inspect)).rejects.toThrow('took over 50 ms');
  await expect.poll(() => reasons).toEqual(['timeout']);
});
