import { createServer } from 'node:http';
import { BootError } from '@ephemera/domain';
import { expect, onTestFinished, test } from 'vitest';
import { listen } from './listen.ts';

function serverOfItsOwn() {
  const server = createServer();
  onTestFinished(() => void server.close());
  return server;
}

test('says which address is taken', async () => {
  const port = await listen(serverOfItsOwn(), { host: '127.0.0.1', port: 0 });
  const second = listen(serverOfItsOwn(), { host: '127.0.0.1', port });
  await expect(second).rejects.toThrow(BootError);
  await expect(second).rejects.toThrow(`cannot listen on 127.0.0.1:${port}: the port is taken`);
});

test('says what else is wrong', async () => {
  const bound = listen(serverOfItsOwn(), { host: '203.0.113.1', port: 0 });
  await expect(bound).rejects.toThrow('cannot listen on 203.0.113.1:0: EADDRNOTAVAIL');
});

test('lets several share a port where they all want to', async () => {
  const shared = { host: '127.0.0.1', reusePort: true };
  const port = await listen(serverOfItsOwn(), { ...shared, port: 0 });
  expect(await listen(serverOfItsOwn(), { ...shared, port })).toBe(port);
});
