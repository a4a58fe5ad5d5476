import { createServer } from 'node:http';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { limitConnections, maxConnectionsOf } from './connection-limits.ts';

test.each([
  // Two descriptors per client, after the reserve.
  [20_000, 9_744],
  [4_096, 1_792],
  [1_024, 384],
  [256, 96],
  [1, 1],
  [1_048_576, 50_000],
  [Infinity, 50_000],
])('of %s descriptors clients may have %s connections', (descriptors, connections) => {
  expect(maxConnectionsOf(descriptors)).toBe(connections);
});

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
