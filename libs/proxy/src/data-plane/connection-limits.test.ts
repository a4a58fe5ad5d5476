import { createServer } from 'node:http';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { limitConnections, portSharesOf } from './connection-limits.ts';

test.each([
  // Two descriptors per connection, after the reserve; a tenth of the connections are of the admin port.
  [20_000, 8_770, 974],
  [4_096, 1_613, 179],
  [1_024, 346, 38],
  [256, 87, 9],
  [1, 1, 1],
  [1_048_576, 50_000, 2_000],
  [Infinity, 50_000, 2_000],
])(
  'of %s descriptors clients may have %s connections, and the admin port %s',
  (descriptors, ...of) => {
    const { clients, admin } = portSharesOf(descriptors);
    expect([clients, admin]).toEqual(of);
  },
);

test('an IPv6 subscriber has the connections of one client, whatever address of its /64 it uses', () => {
  const server = createServer();
  const refused: string[] = [];
  limitConnections(server, {
    total: 1_000,
    perAddress: 2,
    onRefused: (reason) => void refused.push(reason),
  });
  const connect = (remoteAddress: string) => {
    const socket = Object.assign(new PassThrough(), { remoteAddress });
    server.emit('connection', socket);
    return socket;
  };
  const isOpen = (remoteAddress: string) => !connect(remoteAddress).destroyed;
  const first = connect('2001:db8:1:2::1');
  expect(first.destroyed).toBe(false);
  expect(isOpen('2001:db8:1:2:ffff::2')).toBe(true);
  expect(isOpen('2001:db8:1:2::3')).toBe(false);
  expect(isOpen('2001:db8:1:3::3')).toBe(true);
  expect(refused).toEqual(['address']);
  first.emit('close');
  expect(isOpen('2001:db8:1:2::4')).toBe(true);
  expect(isOpen('2001:db8:1:2::5')).toBe(false);
});
