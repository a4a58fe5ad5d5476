import { parseTrustedProxies } from '@ephemera/http';
import { expect, test } from 'vitest';
import {
  type ClientConnection,
  type ForwardedHeaders,
  forwardedLines,
  NOTHING_FORWARDED,
} from './client-connection.ts';

const connection = (address: string): ClientConnection => ({
  address,
  isTrusted: true,
  trusted: parseTrustedProxies(['10.0.0.0/8']),
  isRefused: false,
  lastResponse: undefined,
  described: undefined,
});
test('values of an untrusted peer are replaced', () => {
  expect(
    forwardedLines(connection('2001:db8::1'), 'a.example:81', '', undefined).split('\r\n'),
  ).toEqual([
    'x-forwarded-for: 2001:db8::1',
    'x-real-ip: 2001:db8::1',
    'x-forwarded-proto: http',
    'x-forwarded-host: a.example:81',
    'forwarded: for="[2001:db8::1]";host="a.example:81";proto=http',
    '',
  ]);
});

test('values of a trusted peer are kept and extended', () => {
  const forwarded: ForwardedHeaders = {
    for: '203.0.113.7, 198.51.100.2',
    proto: 'https',
    host: 'demos.example',
    prefix: '/outer/',
    realIp: undefined,
    forwarded: 'for=203.0.113.7;proto=https',
  };
  expect(
    forwardedLines(connection('10.0.0.1'), 'inner', '/demo/id', forwarded).split('\r\n'),
  ).toEqual([
    'x-forwarded-for: 203.0.113.7, 198.51.100.2, 10.0.0.1',
    'x-real-ip: 198.51.100.2',
    'x-forwarded-proto: https',
    'x-forwarded-host: demos.example',
    'x-forwarded-prefix: /outer/demo/id',
    'forwarded: for=203.0.113.7;proto=https, for=10.0.0.1;host=inner;proto=http',
    '',
  ]);
});

test('a trusted peer without forwarded fields is itself the client', () => {
  expect(forwardedLines(connection('10.0.0.1'), 'a', '', NOTHING_FORWARDED)).toBe(
    forwardedLines(connection('10.0.0.1'), 'a', '', undefined),
  );
});

// A load balancer that appends to the list keeps the client's own entries, and its X-Real-IP.
test.each([
  ['6.6.6.6, 203.0.113.7, 10.0.0.9', '6.6.6.6', '203.0.113.7'],
  [undefined, '203.0.113.7', '203.0.113.7'],
  [undefined, undefined, '10.0.0.1'],
])('behind %o and X-Real-IP %o the client is %s', (list, realIp, client) => {
  const lines = forwardedLines(connection('10.0.0.1'), 'h', '', {
    ...NOTHING_FORWARDED,
    for: list,
    realIp,
  });
  expect(lines).toContain(`x-real-ip: ${client}\r\n`);
});
