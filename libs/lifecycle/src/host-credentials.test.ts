import { createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import {
  CLOCK_TOLERANCE_MS,
  CREDENTIALS_VALIDITY_MS,
  HOST_FAILURE_HEADER,
  HOST_STREAM_PROTOCOL,
  isHostAddress,
  signHostAddress,
  signHostRequest,
  verifyHostRequest,
} from './host-credentials.ts';
import type { HostClaims, HostSigner } from './host-credentials.ts';

// What a worker accepts as the credentials of a proxy, and a proxy as the address of a worker.

const signerOf = (key: string): HostSigner => ({
  hasKeys: key !== '',
  sign: (purpose, text) =>
    createHmac('sha256', key).update(`${purpose} ${text}`).digest('base64url'),
  hasSigned(purpose, text, signature) {
    return this.sign(purpose, text) === signature;
  },
});
const signer = signerOf('a key');

const NOW = 1_000_000;
const CLAIMS: HostClaims = { worker: 'f1', id: 'a1', generation: 7, operation: 'logs' };
const EXPECTED = { worker: 'f1', operation: 'logs' };
const verify = (credentials: string | undefined, expected = EXPECTED, now = NOW, by = signer) =>
  verifyHostRequest(by, credentials, expected, now);
const signed = (claims: Partial<HostClaims> = {}, at = NOW, by = signer) =>
  signHostRequest(by, { ...CLAIMS, ...claims }, at);

test('credentials name the instance and the generation that a request may act on', () => {
  expect(verify(signed())).toEqual({ id: 'a1', generation: 7 });
});

test.each([
  ['of another worker', { worker: 'f2' }, 'other_worker'],
  ['for another operation', { operation: 'pause' }, 'other_operation'],
])('credentials %s are refused', (_, claims, refused) => {
  expect(verify(signed(claims))).toEqual({ refused });
});

test('credentials are valid for ten seconds, and for a clock that is ahead by two', () => {
  const credentials = signed();
  const at = (now: number) => verify(credentials, EXPECTED, now);
  expect(at(NOW + CREDENTIALS_VALIDITY_MS)).toEqual({ id: 'a1', generation: 7 });
  expect(at(NOW + CREDENTIALS_VALIDITY_MS + 1)).toEqual({ refused: 'expired' });
  expect(at(NOW - CLOCK_TOLERANCE_MS)).toEqual({ id: 'a1', generation: 7 });
  expect(at(NOW - CLOCK_TOLERANCE_MS - 1)).toEqual({ refused: 'early' });
});

test('a changed claim, a signature for another purpose or by another key, and none are refused', () => {
  const credentials = signed();
  const [payload = '', signature = ''] = credentials.split('.');
  const changed = Buffer.from(payload, 'base64url').toString().replace('"a1"', '"a2"');
  const invalid = [
    `${Buffer.from(changed).toString('base64url')}.${signature}`,
    `${payload}.${signer.sign('host-address', payload)}`,
    signed({}, NOW, signerOf('another key')),
    `${payload}.`,
    payload,
    `.${signature}`,
    '.',
    '',
  ];
  for (const text of invalid) expect([text, verify(text)]).toEqual([text, { refused: 'invalid' }]);
  expect(verify(undefined)).toEqual({ refused: 'missing' });
});

test('without keys nothing is accepted', () => {
  const none = signerOf('');
  expect(verify(signed({}, NOW, none), EXPECTED, NOW, none)).toEqual({ refused: 'invalid' });
  const address = signHostAddress(none, 'a', { url: 'https://10.0.0.7:1', fingerprint: 'f1' });
  expect(isHostAddress(none, 'a', address)).toBe(false);
});

test('the signature of an address binds the host, the URL and the certificate', () => {
  const address = signHostAddress(signer, 'a', { url: 'https://10.0.0.7:1', fingerprint: 'f1' });
  expect(isHostAddress(signer, 'a', address)).toBe(true);
  expect(isHostAddress(signer, 'b', address)).toBe(false);
  for (const change of [
    { url: 'https://10.0.0.8:1' },
    { fingerprint: 'f2' },
    { signature: '' },
    // A request is signed under the same keys.
    { signature: signer.sign('host-request', JSON.stringify(['a', address.url, 'f1'])) },
  ]) {
    expect(isHostAddress(signer, 'a', { ...address, ...change })).toBe(false);
  }
});

test('proxies and workers of different versions agree on the names of the protocol', () => {
  expect(HOST_FAILURE_HEADER).toBe('ephemera-host-failure');
  expect(HOST_STREAM_PROTOCOL).toBe('ephemera-stream');
});
