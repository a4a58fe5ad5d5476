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

test.each(['localhost', 'xn--bcher-kva.example', '1.demos.2e', 'a-b.example:1', 'example:65535'])(
  'a domain can be %s',
  (domain) => {
    expect(readConfig({ EPHEMERA_DOMAIN: domain }).domain).toContain(domain);
  },
);

// No browser finds an instance below these.
test.each([
  ['an empty label', 'demos..example.org'],
  ['a dot at the beginning', '.example.org'],
  ['a dot at the end', 'example.org.'],
  ['a label that begins with a hyphen', '-a.example.org'],
  ['a label that is too long', `${'a'.repeat(64)}.example.org`],
  ['a name that is too long', `${'a.'.repeat(120)}org`],
  ['an IPv4 address', '127.0.0.1:8080'],
  ['capital letters', 'Demos.example.org'],
  ['a URL', 'http://example.org'],
  ['port 0', 'example.org:0'],
  ['a port above 65535', 'example.org:65536'],
  ['a port with a leading zero', 'example.org:080'],
  ['an empty port', 'example.org:'],
])('a domain with %s is refused', (_, domain) => {
  expect(() => readConfig({ EPHEMERA_DOMAIN: domain })).toThrow(/EPHEMERA_DOMAIN: must/);
});

test.each([
  ['http://example.org:80', 'http://example.org'],
  ['http://localhost:80/', 'http://localhost'],
  ['https://example.org:443/outer/', 'https://example.org/outer'],
  ['https://example.org:80', 'https://example.org:80'],
  ['HTTPS://Example.ORG/Outer', 'https://example.org/Outer'],
  ['http://example.org//', 'http://example.org'],
  ['http://bücher.example', 'http://xn--bcher-kva.example'],
  ['http://[2001:DB8:0::1]:8080/', 'http://[2001:db8::1]:8080'],
])('EPHEMERA_PUBLIC_URL=%s is %s, as browsers write it', (text, expected) => {
  expect(readConfig(url(text)).publicUrl).toBe(expected);
});

test('without EPHEMERA_PUBLIC_URL, the address has the public port, except a default port', () => {
  expect(readConfig({}).publicUrl).toBe('http://localhost:8080');
  expect(readConfig({ EPHEMERA_PUBLIC_PORT: '80' }).publicUrl).toBe('http://localhost');
});
