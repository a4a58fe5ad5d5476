import { parseTrustedProxies } from '@ephemera/http';
import { expect, test } from 'vitest';
import {
  type ClientConnection,
  collect,
  type ForwardedHeaders,
  forwardedLines,
  NOTHING_FORWARDED,
} from './client-connection.ts';

const connection = (address: string): ClientConnection => ({
  address,
  isTrusted: true,
  trusted: parseTrustedProxies(['10.0.0.0/8']),
  isRefused: false,
  isLast: false,
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
    'x-forwarded-port: 81',
    '',
  ]);
});

test('values of a trusted peer are kept and extended', () => {
  const forwarded: ForwardedHeaders = {
    ...NOTHING_FORWARDED,
    for: '203.0.113.7, 198.51.100.2',
    proto: 'https',
    host: 'demos.example',
    port: undefined,
    prefix: '/outer/',
    others: 'X-Forwarded-Uri: /x\r\n',
    identity: 'X-Forwarded-User: u\r\n',
    realIp: undefined,
  };
  expect(
    forwardedLines(connection('10.0.0.1'), 'inner', '/outer/demo/id', forwarded).split('\r\n'),
  ).toEqual([
    'x-forwarded-for: 203.0.113.7, 198.51.100.2, 10.0.0.1',
    'x-real-ip: 198.51.100.2',
    'x-forwarded-proto: https',
    'x-forwarded-host: demos.example',
    'x-forwarded-port: 443',
    'X-Forwarded-Uri: /x',
    'x-forwarded-prefix: /outer/demo/id',
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
  ['6.6.6.6, "[2001:db8::7]:4001", 10.0.0.9:80', undefined, '2001:db8::7'],
  [undefined, '[2001:db8::7]:4001', '2001:db8::7'],
  [undefined, 'no address', '10.0.0.1'],
  // A field for an address holds no other identifier.
  ['_hidden', '6.6.6.6', '10.0.0.1'],
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

test.each([
  ['a.example', {}, '80'],
  ['a.example:8443', {}, '8443'],
  ['[2001:db8::1]', {}, '80'],
  ['[2001:db8::1]:81', {}, '81'],
  ['inner:8080', { proto: 'https', host: 'a.example' }, '443'],
  ['inner:8080', { proto: 'https, http', host: 'a.example:8443, inner:81' }, '8443'],
  ['a.example', { proto: 'wss' }, '443'],
  ['a.example:81', { proto: 'https', port: '444' }, '444'],
])('the port of the visitor of %s behind %o is %s', (host, more, port) => {
  const lines = forwardedLines(connection('10.0.0.1'), host, '', { ...NOTHING_FORWARDED, ...more });
  expect(lines).toContain(`\r\nx-forwarded-port: ${port}\r\n`);
});

test.each([
  ['X-Forwarded-User', true],
  ['X-FORWARDED-EMAIL', true],
  ['X-Forwarded-Groups', true],
  ['X-Forwarded-Preferred-Username', true],
  ['X-Forwarded-Access-Token', true],
  ['X-Forwarded-Id-Token', true],
  ['X-Forwarded-Tls-Client-Cert-Info', true],
  ['X-Auth-Request-Access-Token', true],
  ['X-Auth-Request-Redirect', true],
  ['Remote-User', true],
  ['Remote-Groups', true],
  ['X-Forwarded-Uri', false],
  ['X-Forwarded-Method', false],
  ['X-Forwarded-Server', false],
  ['X-Forwarded-Ssl', false],
  ['X-Forwarded-Scheme', false],
  ['X-Forwarded-Protocol', false],
  ['X-Forwarded-Userland', false],
])('%s tells the identity of the visitor: %s', (name, isIdentity) => {
  const forwarded = { ...NOTHING_FORWARDED };
  collect(forwarded, name, 'v');
  const line = `\r\n${name}: v\r\n`;
  const lines = (forwards: boolean) =>
    forwardedLines(connection('10.0.0.1'), 'h', '', forwarded, forwards);
  expect(lines(true)).toContain(line);
  expect(lines(false).includes(line)).toBe(!isIdentity);
});
