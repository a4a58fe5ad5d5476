import { once } from 'node:events';
import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { lingerOnClose } from '@ephemera/http';
import { waitFor } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';
import { extendRequestTime, limitRequestTime } from './request-time.ts';

// A body that never ends. The server itself allows an hour.

async function serve(listener: RequestListener, ms = 200) {
  const server = createServer({ requestTimeout: 3_600_000 }, listener);
  limitRequestTime(server, ms);
  lingerOnClose(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function send(port: number) {
  const client = connect({ port, host: '127.0.0.1' });
  onTestFinished(() => {
    client.destroy();
  });
  let received = '';
  client.on('data', (data) => (received += data.toString('latin1')));
  client.write('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx');
  return { client, ended: once(client, 'end').then(() => received) };
}

test('a request that does not arrive in time gets 408, and its connection ends', async () => {
  const port = await serve((req) => req.resume());
  expect(await send(port).ended).toMatch(/^HTTP\/1.1 408 /);
});

test('the rest of a request that was answered early must arrive in time', async () => {
  const port = await serve((req, res) => {
    extendRequestTime(req);
    res.writeHead(401).end();
  });
  expect(await send(port).ended).toMatch(/^HTTP\/1.1 401 /);
});

test('an extended request may take longer', async () => {
  let count = 0;
  const port = await serve((req, res) => {
    if (++count === 1) extendRequestTime(req);
    req.resume().once('end', () => res.setHeader('connection', 'close').end('whole'));
  });
  const { client, ended } = send(port);
  await waitFor('the first request', () => count === 1);
  // The limit of a later request passes first.
  expect(await send(port).ended).toMatch(/^HTTP\/1.1 408 /);
  client.write('x'.repeat(99));
  expect(await ended).toMatch(/^HTTP\/1.1 200 .*whole/s);
});
