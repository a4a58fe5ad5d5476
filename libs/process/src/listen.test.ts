import { createServer } from 'node:http';
import { BootError } from '@ephemera/domain';
import { expect, onTestFinished, test } from 'vitest';
import { listen } from './listen.ts';

function newServer() {
  const server = createServer();
  onTestFinished(() => void server.close());
  return server;
}

test('reports an address that is in use', async () => {
  const port = await listen(newServer(), { host: '127.0.0.1', port: 0 });
  const second = listen(newServer(), { host: '127.0.0.1', port });
  await expect(second).rejects.toThrow(BootError);
  await expect(second).rejects.toThrow(`Cannot listen on 127.0.0.1:${port}: the port is in use`);
});

test('reports any other error code', async () => {
  const bound = listen(newServer(), { host: '203.0.113.1', port: 0 });
  await expect(bound).rejects.toThrow('Cannot listen on 203.0.113.1:0: EADDRNOTAVAIL');
});

test('several servers share a port if all set reusePort', async () => {
  const shared = { host: '127.0.0.1', reusePort: true };
  const port = await listen(newServer(), { ...shared, port: 0 });
  expect(await listen(newServer(), { ...shared, port })).toBe(port);
});
