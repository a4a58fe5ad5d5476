import { readTrusted } from '@ephemera/http';
import { expect, test } from 'vitest';
import { forwardedLines, type ForwardedHeaders } from './forwarded.ts';
import type { ClientConnection } from './client-connection.ts';

const peer = (address: string): ClientConnection => ({
  address,
  isTrusted: true,
  trusted: readTrusted(['10.0.0.0/8']),
  isRefused: false,
  answer: undefined,
  described: undefined,
});
const nothing: ForwardedHeaders = {
  for: undefined,
  proto: undefined,
  host: undefined,
  prefix: undefined,
  realIp: undefined,
  forwarded: undefined,
};

test('a stranger is described anew', () => {
  expect(forwardedLines(peer('2001:db8::1'), 'a.example:81', '', undefined).split('\r\n')).toEqual([
    'x-forwarded-for: 2001:db8::1',
    'x-real-ip: 2001:db8::1',
    'x-forwarded-proto: http',
    'x-forwarded-host: a.example:81',
    'forwarded: for="[2001:db8::1]";host="a.example:81";proto=http',
    '',
  ]);
});

test('what a trusted peer says is kept, and added to', () => {
  const forwarded: ForwardedHeaders = {
    for: '203.0.113.7, 198.51.100.2',
    proto: 'https',
    host: 'demos.example',
    prefix: '/outer/',
    realIp: undefined,
    forwarded: 'for=203.0.113.7;proto=https',
  };
  expect(forwardedLines(peer('10.0.0.1'), 'inner', '/demo/id', forwarded).split('\r\n')).toEqual([
    'x-forwarded-for: 203.0.113.7, 198.51.100.2, 10.0.0.1',
    'x-real-ip: 198.51.100.2',
    'x-forwarded-proto: https',
    'x-forwarded-host: demos.example',
    'x-forwarded-prefix: /outer/demo/id',
    'forwarded: for=203.0.113.7;proto=https, for=10.0.0.1;host=inner;proto=http',
    '',
  ]);
});

test('a trusted peer that says nothing is itself the client', () => {
  expect(forwardedLines(peer('10.0.0.1'), 'a', '', nothing)).toBe(
    forwardedLines(peer('10.0.0.1'), 'a', '', undefined),
  );
});

// A balancer that adds to the list leaves what the client wrote before, and its X-Real-IP too.
test.each([
  ['6.6.6.6, 203.0.113.7, 10.0.0.9', '6.6.6.6', '203.0.113.7'],
  [undefined, '203.0.113.7', '203.0.113.7'],
  [undefined, undefined, '10.0.0.1'],
])('behind %o and X-Real-IP %o the client is %s', (list, realIp, client) => {
  const lines = forwardedLines(peer('10.0.0.1'), 'h', '', { ...nothing, for: list, realIp });
  expect(lines).toContain(`x-real-ip: ${client}\r\n`);
});
