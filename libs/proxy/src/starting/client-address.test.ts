import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { clientKeyOf, parseTrustedProxies } from '@ephemera/http';
import { clientAddress } from './client-address.ts';

// On a real socket, because the peer's address cannot be forged.

let trusted = parseTrustedProxies([]);
const server = createServer((req, res) => res.end(clientAddress(req, trusted)));
beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => server.close());

async function ask(forwarded?: string): Promise<string> {
  const { port } = server.address() as AddressInfo;
  const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
  const [answer] = (await once(
    get({ port, host: '127.0.0.1', headers, agent: false }),
    'response',
  )) as [AsyncIterable<Buffer>];
  let text = '';
  for await (const chunk of answer) text += String(chunk);
  return text;
}

test('the fields of an untrusted peer are ignored', async () => {
  trusted = parseTrustedProxies([]);
  expect(await ask('192.0.2.1')).toBe('127.0.0.1');
});

test('behind a trusted balancer, the client’s own entries are ignored', async () => {
  trusted = parseTrustedProxies(['127.0.0.0/8', '10.0.0.0/8']);
  expect(await ask('192.0.2.1')).toBe('192.0.2.1');
  expect(await ask('203.0.113.9, 192.0.2.1')).toBe('192.0.2.1');
  expect(await ask('203.0.113.9, 192.0.2.1, 10.1.2.3')).toBe('192.0.2.1');
  expect(await ask('10.9.9.9')).toBe('10.9.9.9');
  // As a load balancer on a dual-stack listener writes it: one client, not all of IPv4.
  expect(await ask('::FFFF:192.0.2.1, ::ffff:10.1.2.3')).toBe('192.0.2.1');
  expect(await ask('::ffff:7f00:1')).toBe('::ffff:7f00:1');
  expect(await ask('192.0.2.1, nonsense, 10.1.2.3')).toBe('10.1.2.3');
  expect(await ask('2001:db8::1')).toBe('2001:db8::1');
  expect(await ask()).toBe('127.0.0.1');
});

test('all addresses of one subscriber share one key', () => {
  expect(clientKeyOf('192.0.2.1')).toBe('192.0.2.1');
  expect(clientKeyOf('2001:db8:1:2:3:4:5:6')).toBe('2001:db8:1:2::/64');
  expect(clientKeyOf('2001:DB8:1:2::9')).toBe('2001:db8:1:2::/64');
  expect(clientKeyOf('2001:0db8::9')).toBe('2001:db8:0:0::/64');
  expect(clientKeyOf('::1')).toBe('0:0:0:0::/64');
});
