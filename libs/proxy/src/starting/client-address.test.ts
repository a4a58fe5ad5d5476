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

async function ask(forwarded?: string | string[]): Promise<string> {
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
  expect(await ask('192.0.2.1, nonsense, 10.1.2.3')).toBe('10.1.2.3');
  expect(await ask('2001:db8::1')).toBe('2001:db8::1');
  expect(await ask()).toBe('127.0.0.1');
});

// What load balancers write behind the address, or around it, must not merge their visitors.
test.each([
  ['203.0.113.7:4001', '203.0.113.7'],
  ['"203.0.113.7:4001"', '203.0.113.7'],
  ['203.0.113.7:_hidden', '203.0.113.7'],
  ['203.0.113.7:', '203.0.113.7'],
  ['2001:db8::1', '2001:db8::1'],
  ['[2001:db8::1]', '2001:db8::1'],
  ['[2001:db8::1]:4001', '2001:db8::1'],
  ['"[2001:db8::1]:4001"', '2001:db8::1'],
  ['"[2001:db8::1]"', '2001:db8::1'],
  ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
  ['2001:db8:0:0:0:0:0:1:4001', '2001:db8::1'],
  ['fe80::1%eth0', 'fe80::1'],
  ['[fe80::1%25eth0]:4001', 'fe80::1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['::ffff:c000:201', '192.0.2.1'],
  ['0:0:0:0:0:FFFF:192.0.2.1', '192.0.2.1'],
  ['[::ffff:192.0.2.1]:4001', '192.0.2.1'],
  ['::ffff:192.0.2.1:4001', '192.0.2.1'],
  ['6.6.6.6, 192.0.2.1:4001, , 10.1.2.3:80, ', '192.0.2.1'],
  [['6.6.6.6', '192.0.2.1:4001', '10.1.2.3:80'], '192.0.2.1'],
  [['192.0.2.1', ''], '192.0.2.1'],
  // A proxy that hides its clients still tells them apart.
  ['6.6.6.6, _hidden-7, 10.1.2.3', '_hidden-7'],
  // The proxy that names no client is the client: members before it are the client's own.
  ['6.6.6.6, unknown', '127.0.0.1'],
  ['6.6.6.6, unknown, 10.1.2.3:80', '10.1.2.3'],
  ['6.6.6.6, [nonsense]:1', '127.0.0.1'],
  ['6.6.6.6, 300.1.1.1', '127.0.0.1'],
  [`6.6.6.6, _${'x'.repeat(65)}`, '127.0.0.1'],
])('%o names the client %s', async (forwarded, client) => {
  trusted = parseTrustedProxies(['127.0.0.0/8', '10.0.0.0/8']);
  expect(await ask(forwarded)).toBe(client);
});

test('a range without its number of bits is refused', () => {
  expect(() => parseTrustedProxies(['10.0.0.0/'])).toThrow('10.0.0.0/ is neither');
  expect(() => parseTrustedProxies(['10.0.0.0/33'])).toThrow('10.0.0.0/33 is neither');
});

test('all addresses of one subscriber share one key', () => {
  expect(clientKeyOf('192.0.2.1')).toBe('192.0.2.1');
  expect(clientKeyOf('2001:db8:1:2:3:4:5:6')).toBe('2001:db8:1:2::/64');
  expect(clientKeyOf('2001:DB8:1:2::9')).toBe('2001:db8:1:2::/64');
  expect(clientKeyOf('2001:0db8::9')).toBe('2001:db8:0:0::/64');
  expect(clientKeyOf('::1')).toBe('0:0:0:0::/64');
});
