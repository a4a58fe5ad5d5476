import { describe, expect, test } from 'vitest';
import {
  maskOrigin,
  readOuterPrefix,
  type RewriteContext,
  toInstance,
  toVisitor,
  translateTargets,
} from './translate-address.ts';

const path: RewriteContext = {
  sharesOrigin: true,
  isBare: false,
  publicPrefix: '/demo/id',
  knownPrefixes: ['/demo/id'],
  instancePrefix: '',
  origin: 'http://demos.example:81',
  instanceOrigin: 'http://demos.example:81',
  upstream: '10.0.0.2:8080',
  hosts: ['demos.example:81', 'inner:8080'],
  requested: undefined,
};
const host: RewriteContext = {
  ...path,
  sharesOrigin: false,
  publicPrefix: '',
  knownPrefixes: [''],
};
const tls: RewriteContext = {
  ...path,
  publicPrefix: '/outer/demo/id',
  knownPrefixes: ['/outer/demo/id', '/demo/id'],
  origin: 'https://demos.example',
  hosts: ['demos.example', 'inner:8080'],
};
/** With `stripPrefix: false` and a public URL that has a path. */
const kept: RewriteContext = { ...tls, instancePrefix: '/outer/demo/id' };

// A Host can be valid and still be no host of a URL, and HTTP/1.0 needs none.
test.each(['http://x:99999', 'http://1.2.3.999', 'http://'])(
  'with the origin %s a reference without a scheme names another site',
  (origin) => {
    const odd = { ...path, origin, hosts: [origin.slice(7)] };
    expect(toVisitor('//other.example/a', odd)).toBe('//other.example/a');
    expect(toInstance('//other.example/a', odd)).toBe('//other.example/a');
  },
);

describe('toVisitor', () => {
  test.each([
    ['/', '/demo/id/'],
    ['/login?to=/x#y', '/demo/id/login?to=/x#y'],
    ['/demo/id', '/demo/id'],
    ['/demo/id?a', '/demo/id?a'],
    ['/demo/id/login', '/demo/id/login'],
    ['/demo/idx', '/demo/id/demo/idx'],
    // The container's address, with and without its port.
    ['http://10.0.0.2:8080/a', '/demo/id/a'],
    ['https://10.0.0.2:8080/a', '/demo/id/a'],
    ['http://10.0.0.2/a', '/demo/id/a'],
    ['http://10.0.0.2:8080', '/demo/id/'],
    ['http://10.0.0.2:8080?a', '/demo/id/?a'],
    ['http://10.0.0.2:8080#a', '/demo/id/#a'],
    ['//10.0.0.2:8080/a', '/demo/id/a'],
    ['http://10.0.0.2:8080//evil.example', '/demo/id//evil.example'],
    ['http://10.0.0.2:9090/a', 'http://10.0.0.2:9090/a'],
    // The visitor's host: its port, no port, the container's port, in any case and scheme.
    ['http://demos.example:81/a', '/demo/id/a'],
    ['https://Demos.example:81/a', '/demo/id/a'],
    ['HTTP://DEMOS.EXAMPLE/a', '/demo/id/a'],
    ['http://demos.example./a', '/demo/id/a'],
    ['http://demos.example:/a', '/demo/id/a'],
    ['http://demos.example:80/a', '/demo/id/a'],
    ['https://demos.example:443/a', '/demo/id/a'],
    ['http://demos.example:8080/a', '/demo/id/a'],
    ['//demos.example/a', '/demo/id/a'],
    ['http://demos.example', '/demo/id/'],
    ['http://demos.example/demo/id/a', '/demo/id/a'],
    ['http://inner:8080/a', '/demo/id/a'],
    ['http://inner/a', '/demo/id/a'],
    ['http://demos.example:82/a', 'http://demos.example:82/a'],
    // Relative to the page, other sites, and spellings that are not of this instance.
    ['a/b', 'a/b'],
    ['../a', '../a'],
    ['?a', '?a'],
    ['#a', '#a'],
    ['', ''],
    ['https://elsewhere.example/a', 'https://elsewhere.example/a'],
    ['http://demos.example.evil/a', 'http://demos.example.evil/a'],
    ['http://xdemos.example/a', 'http://xdemos.example/a'],
    ['//elsewhere.example/a', '//elsewhere.example/a'],
    ['///demos.example/a', '///demos.example/a'],
    ['http:///a', 'http:///a'],
    ['http:/a', 'http:/a'],
    ['//', '//'],
    ['http://10.0.0.2:8080@evil.example/', 'http://10.0.0.2:8080@evil.example/'],
    ['http://user:pw@demos.example/', 'http://user:pw@demos.example/'],
    ['http://demos.example\\@evil.example/', 'http://demos.example\\@evil.example/'],
    ['http://demos.example:99999/', 'http://demos.example:99999/'],
    ['ftp://demos.example/a', 'ftp://demos.example/a'],
    ['mailto:a@b', 'mailto:a@b'],
    ['javascript:alert(1)', 'javascript:alert(1)'],
  ])('in path form: %s → %s', (reference, becomes) => {
    expect(toVisitor(reference, path)).toBe(becomes);
  });

  test.each([
    ['/a', '/a'],
    ['//demos.example/a', 'http://demos.example:81/a'],
    ['http://10.0.0.2:8080/a', 'http://demos.example:81/a'],
    ['http://10.0.0.2:8080//evil.example/a', 'http://demos.example:81//evil.example/a'],
    ['http://demos.example:81/a', 'http://demos.example:81/a'],
    ['http://demos.example/a?b', 'http://demos.example:81/a?b'],
    ['http://demos.example:8080', 'http://demos.example:81'],
    ['https://demos.example?a', 'http://demos.example:81?a'],
    ['http://elsewhere.example/a', 'http://elsewhere.example/a'],
  ])('in host form: %s → %s', (reference, becomes) => {
    expect(toVisitor(reference, host)).toBe(becomes);
  });

  test.each([
    ['http://demos.example/a', '/outer/demo/id/a'],
    ['https://demos.example:443/a', '/outer/demo/id/a'],
    // The application knows the visitor's port, but not the scheme.
    ['http://demos.example:443/a', '/outer/demo/id/a'],
    ['https://demos.example:8443/a', 'https://demos.example:8443/a'],
    ['/a', '/outer/demo/id/a'],
    ['/demo/id/a', '/outer/demo/id/a'],
    ['/outer/demo/id/a', '/outer/demo/id/a'],
    ['/outer/demo/id', '/outer/demo/id'],
    ['/outer/a', '/outer/demo/id/outer/a'],
    ['http://demos.example/outer/demo/id/a', '/outer/demo/id/a'],
    ['https://demos.example/outer/demo/id/a', 'https://demos.example/outer/demo/id/a'],
  ])('behind TLS and an outer prefix: %s → %s', (reference, becomes) => {
    expect(toVisitor(reference, tls)).toBe(becomes);
    expect(toVisitor(reference, kept)).toBe(becomes);
  });

  test('behind TLS in host form: the visitor’s scheme and port', () => {
    const context = { ...host, origin: 'https://demos.example', hosts: ['demos.example'] };
    for (const own of ['http://demos.example/a', 'http://10.0.0.2:8080/a', '//10.0.0.2:8080/a']) {
      expect(toVisitor(own, context)).toBe('https://demos.example/a');
    }
  });

  test('IPv6 literals in any spelling', () => {
    const context = { ...path, upstream: '[fd00::2]:8080', hosts: ['[::1]:81'] };
    for (const own of ['[fd00::2]:8080', '[FD00:0::2]:8080', '[::1]', '[0:0:0:0:0:0:0:1]:81']) {
      expect(toVisitor(`http://${own}/a`, context)).toBe('/demo/id/a');
    }
    expect(toVisitor('http://[fd00::3]/a', context)).toBe('http://[fd00::3]/a');
  });

  test('a path that is relative to the prefix itself leads below it', () => {
    const bare = { ...path, isBare: true };
    expect(toVisitor('a/b?c', bare)).toBe('/demo/id/a/b?c');
    for (const same of ['?a', '#a', '', 'mailto:a@b']) expect(toVisitor(same, bare)).toBe(same);
    expect(toVisitor('a', { ...bare, instancePrefix: '/demo/id' })).toBe('a');
  });
});

describe('toInstance', () => {
  test.each([
    [path, '/demo/id/a', '/a'],
    [path, '/demo/id?a', '/?a'],
    [path, '/demo/id', '/'],
    [path, '/demo/idx/a', '/demo/idx/a'],
    [path, '/other', '/other'],
    [path, 'http://demos.example:81/demo/id/a%20b', 'http://demos.example:81/a%20b'],
    [path, 'HTTPS://Demos.example/demo/id/a', 'http://demos.example:81/a'],
    [path, 'http://demos.example:81/demo/other/a', 'http://demos.example:81/demo/other/a'],
    [path, 'http://elsewhere.example/demo/id/a', 'http://elsewhere.example/demo/id/a'],
    [path, 'urn:uuid:1', 'urn:uuid:1'],
    [path, '/demo/id//x', 'http://demos.example:81//x'],
    [tls, 'https://demos.example/outer/demo/id/a', 'http://demos.example:81/a'],
    [tls, '/demo/id/a', '/a'],
    [kept, 'https://demos.example/outer/demo/id/a', 'http://demos.example:81/outer/demo/id/a'],
    [kept, '/outer/demo/id', '/outer/demo/id'],
    [host, 'http://demos.example:81/a', 'http://demos.example:81/a'],
    [host, '/a', '/a'],
    [{ ...host, instanceOrigin: 'http://10.0.0.2' }, 'http://demos.example/a', 'http://10.0.0.2/a'],
  ])('%#: %s %s → %s', (context, reference, becomes) => {
    expect(toInstance(reference, context)).toBe(becomes);
  });

  test('tagged lists of If keep their tokens', () => {
    const value =
      '<http://demos.example:81/demo/id/a> (<urn:uuid:1> ["</demo/id/b>"]) </demo/id/c> (Not <DAV:no-lock>)';
    expect(translateTargets(value, (target) => toInstance(target, path))).toBe(
      '<http://demos.example:81/a> (<urn:uuid:1> ["</demo/id/b>"]) </c> (Not <DAV:no-lock>)',
    );
  });
});

describe('maskOrigin', () => {
  const masked = { ...path, instanceOrigin: 'http://10.0.0.2:8080' };
  test.each([
    ['http://demos.example:81', 'http://10.0.0.2:8080'],
    ['http://demos.example:81/demo/id/a?b', 'http://10.0.0.2:8080/a?b'],
    ['http://demos.example:81/demo/id', 'http://10.0.0.2:8080/'],
    ['http://demos.example:81/', 'http://10.0.0.2:8080/'],
    // Another scheme, port or host is another origin.
    ['https://demos.example:81', 'https://demos.example:81'],
    ['http://demos.example', 'http://demos.example'],
    ['http://demos.example:8080', 'http://demos.example:8080'],
    ['http://inner:8080', 'http://inner:8080'],
    ['http://demos.example:81.evil', 'http://demos.example:81.evil'],
    [
      'http://evil.example/?http://demos.example:81',
      'http://evil.example/?http://demos.example:81',
    ],
    ['http://demos.example:81@evil.example', 'http://demos.example:81@evil.example'],
    ['null', 'null'],
    ['', ''],
  ])('%s → %s', (value, becomes) => {
    expect(maskOrigin(value, masked)).toBe(becomes);
  });
});

test.each([
  ['/outer', '/outer'],
  ['/outer/', '/outer'],
  ['/a/b', '/a/b'],
  ['/a, /b/', '/a/b'],
  ['', ''],
  ['/', ''],
  ['outer', ''],
  ['//evil.example', ''],
  ['/a//b', ''],
  ['/a;b', ''],
  ['/a"b', ''],
  ['/a>b', ''],
  ['/a?b', ''],
  ['/a b', ''],
  ['https://evil.example/a', ''],
  [`/${'a'.repeat(1_001)}`, ''],
])('outer prefix %s → %s', (value, prefix) => {
  expect(readOuterPrefix(value)).toBe(prefix);
});
