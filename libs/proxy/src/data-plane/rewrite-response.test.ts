import { expect, test } from 'vitest';
import {
  type RewriteContext,
  rewriteCookie,
  rewriteLocation,
  rewriteResponse,
} from './rewrite-response.ts';

const path: RewriteContext = {
  prefix: '/demo/id',
  isBare: false,
  stripped: true,
  upstream: '10.0.0.2:8080',
  hosts: ['inner:8080', 'demos.example:81'],
};
const host: RewriteContext = { ...path, prefix: '' };
const unstripped: RewriteContext = { ...path, stripped: false };

test.each([
  ['demos.example', 'http://demos.example:80/a', '/demo/id/a'],
  ['demos.example:443', 'https://demos.example/a', '/demo/id/a'],
  ['demos.example', 'https://demos.example:80/a', 'https://demos.example:80/a'],
  ['demos.example:81', 'http://demos.example:80/a', 'http://demos.example:80/a'],
])('seen as %s, a Location %s is %s', (host, location, becomes) => {
  expect(rewriteLocation(location, { ...path, hosts: [host] })).toBe(becomes);
});

test.each([
  ['/', '/demo/id/'],
  ['/login?to=/x', '/demo/id/login?to=/x'],
  ['/demo/id', '/demo/id'],
  ['/demo/id/login', '/demo/id/login'],
  ['/demo/idx', '/demo/id/demo/idx'],
  ['http://10.0.0.2:8080/a', '/demo/id/a'],
  ['http://10.0.0.2:8080', '/demo/id/'],
  ['http://10.0.0.2:8080?a', '/demo/id/?a'],
  ['//10.0.0.2:8080/a', '/demo/id/a'],
  ['http://10.0.0.2:8080//evil.example', '/demo/id//evil.example'],
  ['http://demos.example:81/a', '/demo/id/a'],
  ['https://Demos.example:81/a', '/demo/id/a'],
  ['http://inner:8080/a', '/demo/id/a'],
  ['http://demos.example:81/demo/id/a', '/demo/id/a'],
  ['a/b', 'a/b'],
  ['?a', '?a'],
  ['#a', '#a'],
  ['', ''],
  ['https://elsewhere.example/a', 'https://elsewhere.example/a'],
  ['//elsewhere.example/a', '//elsewhere.example/a'],
  ['http://demos.example/a', 'http://demos.example/a'],
  ['http://10.0.0.2:8080@evil.example/', 'http://10.0.0.2:8080@evil.example/'],
  ['mailto:a@b', 'mailto:a@b'],
])('Location in path form: %s → %s', (location, becomes) => {
  expect(rewriteLocation(location, path)).toBe(becomes);
});

test.each([
  ['/a', '/a'],
  ['http://10.0.0.2:8080/a', '/a'],
  ['http://10.0.0.2:8080//evil.example/a', '/.//evil.example/a'],
  ['http://demos.example:81/a', 'http://demos.example:81/a'],
])('Location in host form: %s → %s', (location, becomes) => {
  expect(rewriteLocation(location, host)).toBe(becomes);
});

test.each([
  ['/demo/id/a', '/demo/id/a'],
  ['http://10.0.0.2:8080/demo/id/a', '/demo/id/a'],
])('Location of an instance that sees the prefix: %s → %s', (location, becomes) => {
  expect(rewriteLocation(location, unstripped)).toBe(becomes);
});

test.each([
  ['a=1', 'a=1'],
  ['a=1; Path=/', 'a=1; Path=/demo/id/'],
  ['a=1; path=/app/; HttpOnly', 'a=1; Path=/demo/id/app/; HttpOnly'],
  ['a=1; Path=/demo/id/app', 'a=1; Path=/demo/id/app'],
  ['a=1; Path=app', 'a=1'],
  ['a=1; Path; Secure', 'a=1; Secure'],
  ['a=1; Path="/"', 'a=1'],
  ['a=1; Domain=demos.example; Secure', 'a=1; Secure'],
  ['a=1; domain = .demos.example ;Path=/', 'a=1; Path=/demo/id/'],
  ['a=Path=/; Path=/', 'a=Path=/; Path=/demo/id/'],
  ['a=1;Path=/;Path=/x', 'a=1; Path=/demo/id/x'],
  ['a=1;Path=/x;Secure;Path=app', 'a=1;Secure'],
])('Set-Cookie in path form: %s → %s', (cookie, becomes) => {
  expect(rewriteCookie(cookie, path)).toBe(becomes);
});

// A browser would set a cookie of `/demo/id` on `/demo`, and send it to every instance.
test.each([
  ['a=1', 'a=1; Path=/demo/id/'],
  ['a=1; HttpOnly', 'a=1; Path=/demo/id/; HttpOnly'],
  ['a=1; Path=app', 'a=1; Path=/demo/id/'],
  ['a=1; Path=', 'a=1; Path=/demo/id/'],
  ['a=1; Path', 'a=1; Path=/demo/id/'],
  ['a=1; Path=/x; Path=app', 'a=1; Path=/demo/id/'],
  ['a=1; Path=app; Path=/x', 'a=1; Path=/demo/id/; Path=/demo/id/x'],
  // Browsers ignore a Path that is too long, as if it were absent.
  [`a=1; Path=/${'x'.repeat(1024)}`, `a=1; Path=/demo/id/; Path=/demo/id/${'x'.repeat(1024)}`],
])('Set-Cookie for the prefix alone: %s → %s', (cookie, becomes) => {
  expect(rewriteCookie(cookie, { ...path, isBare: true })).toBe(becomes);
});

test('in host form a cookie keeps its Path and loses its Domain', () => {
  expect(rewriteCookie('a=1; Domain=demos.example; Path=/x', host)).toBe('a=1; Path=/x');
});

test.each([
  ['"cache", "cookies", "storage"', ['Clear-Site-Data', '"cache", "storage"']],
  ['"*"', ['Clear-Site-Data', '"cache", "storage", "executionContexts"']],
  ['"cookies"', []],
  ['"storage"', ['Clear-Site-Data', '"storage"']],
])('in host form an instance clears only its own data: %s', (value, becomes) => {
  expect(rewriteResponse(['Clear-Site-Data', value], host)).toEqual(becomes);
});

test('an instance cannot set Origin-Agent-Cluster', () => {
  for (const context of [path, host]) {
    expect(rewriteResponse(['origin-agent-cluster', '?0', 'X', '1'], context)).toEqual(['X', '1']);
  }
});

// A field for a whole origin affects every instance on it. `NEL` alone would make a visitor's
// browser report the address of each instance to a third party.
test.each([
  'Alt-Svc',
  'Clear-Site-Data',
  'NEL',
  'Public-Key-Pins',
  'Report-To',
  'Service-Worker-Allowed',
  'Strict-Transport-Security',
])('in path form %s of an instance is removed', (name) => {
  expect(rewriteResponse(['X', '1', name, '"x"'], path)).toEqual(['X', '1']);
  expect(rewriteResponse(['X', '1', name, '"x"'], host)).toEqual(['X', '1', name, '"x"']);
});

test('an instance cannot set a cookie of the product, in either form', () => {
  for (const context of [path, host]) {
    const cookie = 'ephemera-dashboard=1; Path=/instances';
    expect(rewriteResponse(['Set-Cookie', 'a=1', 'Set-Cookie', cookie], context)).toEqual([
      'Set-Cookie',
      'a=1',
    ]);
  }
});

test('other fields pass unchanged, and an unchanged list is not copied', () => {
  const fields = ['Server', 'x', 'Location', 'a', 'Set-Cookie', 'a=1'];
  expect(rewriteResponse(fields, path)).toBe(fields);
  expect(
    rewriteResponse(
      ['LOCATION', '/', 'Service-Worker-Allowed', '/', 'set-cookie', 'a=1; Path=/', 'X', '/'],
      path,
    ),
  ).toEqual(['LOCATION', '/demo/id/', 'set-cookie', 'a=1; Path=/demo/id/', 'X', '/']);
  expect(rewriteResponse(['Service-Worker-Allowed', '/'], host)).toEqual([
    'Service-Worker-Allowed',
    '/',
  ]);
});

test('thousands of fields are rewritten in order', () => {
  const fields: string[] = [];
  const becomes: string[] = [];
  for (let i = 0; i < 3_000; i++) {
    fields.push('NEL', `${i}`, 'X', `${i}`, 'Location', `/${i}`);
    fields.push('Set-Cookie', `ephemera-x=${i}`, 'Set-Cookie', `a=${i}`, 'Alt-Svc', 'clear');
    becomes.push('X', `${i}`, 'Location', `/demo/id/${i}`, 'Set-Cookie', `a=${i}`);
  }
  expect(rewriteResponse(fields, path)).toEqual(becomes);
});
