import { hash } from 'node:crypto';
import { expect, test } from 'vitest';
import { checkAdminInterface, isLoopback, weaknessOf } from './admin-interface.ts';
import { ConfigError } from './environment.ts';

const OPEN = { EPHEMERA_ADMIN_HOST: '0.0.0.0' };
const HERE = { EPHEMERA_ADMIN_HOST: '127.0.0.1' };

test.each([
  ['shorter-than-that', /at least 24 characters/],
  ['a'.repeat(40), /8 different/],
  ['abababababababababababababab', /8 different/],
  ['my-long-password-of-2026-x', /"password"/],
  ['CHANGEME-CHANGEME-CHANGEME', /8 different|"CHANGEME"/],
  ['ephemera-token-of-the-lab-7', /"ephemera"/],
])('%s can be guessed', (token, reason) => {
  expect(weaknessOf(token)).toMatch(reason);
  expect(() => checkAdminInterface({ binds: OPEN, token })).toThrow(ConfigError);
  expect(() => checkAdminInterface({ binds: HERE, token })).not.toThrow();
});

test('a random token is accepted in every encoding', () => {
  for (let i = 0; i < 100; i++) {
    // The same tokens in every run: about one run in 250 would draw a token with "12345" in it.
    const bytes = hash('sha256', String(i), 'buffer').subarray(0, 24);
    for (const coding of ['hex', 'base64', 'base64url'] as const) {
      expect(weaknessOf(bytes.toString(coding))).toBeUndefined();
    }
  }
});

test('a configuration without a plain token has nothing to check', () => {
  expect(() => checkAdminInterface({ binds: OPEN, token: undefined })).not.toThrow();
});

test('the admin port must differ from the public port', () => {
  const ports = { EPHEMERA_PUBLIC_PORT: 8080, EPHEMERA_ADMIN_PORT: 8080 };
  expect(() => checkAdminInterface({ binds: HERE, token: undefined, ports })).toThrow(
    /EPHEMERA_ADMIN_PORT: 8080 is already the port of EPHEMERA_PUBLIC_PORT/,
  );
});

test.each([
  ['127.0.0.1', true],
  ['127.9.9.9', true],
  ['::1', true],
  ['localhost', true],
  ['0.0.0.0', false],
  ['::', false],
  ['10.0.0.1', false],
  ['127.0.0.1.example.org', false],
  ['localhost.example.org', false],
])('%s is loopback: %s', (host, is) => {
  expect(isLoopback(host)).toBe(is);
});
