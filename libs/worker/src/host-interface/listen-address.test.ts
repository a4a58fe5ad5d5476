import { X509Certificate } from 'node:crypto';
import { BootError } from '@ephemera/domain';
import { expect, test } from 'vitest';
import { makeCertificate } from './certificate.ts';
import { bindAddress, parseHostListen } from './listen-address.ts';

test.each([
  ['127.0.0.1', { on: '127.0.0.1', port: 0 }],
  ['10.0.0.7:8084', { on: '10.0.0.7', port: 8084 }],
  ['10.0.0.0/24', { on: '10.0.0.0/24', port: 0 }],
  ['10.0.0.0/24:8084', { on: '10.0.0.0/24', port: 8084 }],
  ['0.0.0.0', { on: '0.0.0.0', port: 0 }],
])('reads %s', (text, expected) => {
  expect(parseHostListen(text)).toEqual(expected);
});

test.each(['', 'localhost', '10.0.0.256', '10.0.0.0/33', '10.0.0.7:65536', '10.0.0.7:', '::1'])(
  'refuses "%s"',
  (text) => {
    expect(parseHostListen(text)).toBeUndefined();
  },
);

test('a network stands for the address of this machine in it', () => {
  const own = ['127.0.0.1', '10.1.0.9', '10.2.0.9'];
  const bind = (on: string) => bindAddress({ on, port: 0, advertise: undefined }, own);
  expect(bind('10.2.0.0/24')).toBe('10.2.0.9');
  expect(bind('10.9.9.9')).toBe('10.9.9.9');
  expect(() => bind('10.3.0.0/24')).toThrow(BootError);
  expect(() => bind('10.3.0.0/24')).toThrow('it has 127.0.0.1, 10.1.0.9, 10.2.0.9');
});

test('an address that every interface has needs one that proxies can use', () => {
  const bind = (advertise?: string) => bindAddress({ on: '0.0.0.0', port: 0, advertise });
  expect(() => bind()).toThrow('EPHEMERA_HOST_ADVERTISE');
  expect(bind('192.0.2.7:8084')).toBe('0.0.0.0');
});

test('each certificate is self-signed, with its own key and fingerprint', () => {
  const [first, second] = [makeCertificate(), makeCertificate()];
  const certificate = new X509Certificate(first.cert);
  expect(certificate.verify(certificate.publicKey)).toBe(true);
  expect(certificate.fingerprint256.replaceAll(':', '').toLowerCase()).toBe(first.fingerprint);
  expect(second.fingerprint).not.toBe(first.fingerprint);
});
