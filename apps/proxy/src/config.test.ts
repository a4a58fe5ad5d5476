import { ConfigError } from '@ephemera/config';
import { expect, test } from 'vitest';
import { readConfig } from './config.ts';

const url = (EPHEMERA_PUBLIC_URL: string) => ({ EPHEMERA_PUBLIC_URL });

test.each([
  ['demos.localhost:9000', {}, 'demos.localhost:9000'],
  ['demos.localhost:9000', url('https://example.org'), 'demos.localhost:9000'],
  ['demos.localhost', {}, 'demos.localhost:8080'],
  ['demos.localhost', { EPHEMERA_PUBLIC_PORT: '9001' }, 'demos.localhost:9001'],
  ['demos.localhost', { EPHEMERA_PUBLIC_PORT: '80' }, 'demos.localhost'],
  ['demos.example.org', url('https://example.org'), 'demos.example.org'],
  ['demos.example.org', url('https://example.org:443/outer'), 'demos.example.org'],
  ['demos.example.org', url('http://example.org:8443/'), 'demos.example.org:8443'],
  ['demos.example.org', url('https://example.org:80'), 'demos.example.org:80'],
])('EPHEMERA_DOMAIN=%s with %j is %s', (domain, more, expected) => {
  expect(readConfig({ EPHEMERA_DOMAIN: domain, ...more }).domain).toBe(expected);
});

test('without EPHEMERA_DOMAIN there is no host form, and an invalid one is refused', () => {
  expect(readConfig({}).domain).toBeUndefined();
  expect(() => readConfig({ EPHEMERA_DOMAIN: 'demos example' })).toThrow(ConfigError);
});
