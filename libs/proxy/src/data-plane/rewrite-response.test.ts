import { expect, test } from 'vitest';
import {
  rewriteCookie,
  rewriteLocation,
  rewriteRefresh,
  rewriteResponse,
} from './rewrite-response.ts';
import type { RewriteContext } from './translate-address.ts';

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
  requested: '/demo/id/start',
};
const host: RewriteContext = {
  ...path,
  sharesOrigin: false,
  publicPrefix: '',
  knownPrefixes: [''],
  requested: '/start',
};
const outer: RewriteContext = {
  ...path,
  publicPrefix: '/outer/demo/id',
  knownPrefixes: ['/outer/demo/id', '/demo/id'],
};

// What toVisitor does with each spelling of an address is tested beside it.
test.each(['Location', 'Content-Location', 'SourceMap', 'X-SourceMap', 'sourcemap'])(
  '%s is translated',
  (name) => {
    expect(rewriteResponse([name, '/a'], path)).toEqual([name, '/demo/id/a']);
    expect(rewriteResponse([name, 'http://10.0.0.2:8080/a'], host)).toEqual([
      name,
      'http://demos.example:81/a',
    ]);
  },
);

// Without its scheme, a redirect to HTTPS would lead to itself.
test.each([
  [path, 'https://demos.example/start', 'https://demos.example/demo/id/start'],
  [path, 'https://demos.example/demo/id/start', 'https://demos.example/demo/id/start'],
  [path, 'https://demos.example/other', '/demo/id/other'],
  // The container's own address, which no visitor can reach.
  [path, 'https://10.0.0.2:8080/start', 'https://demos.example/demo/id/start'],
  [path, 'http://demos.example/start', '/demo/id/start'],
  [host, 'https://demos.example/start', 'https://demos.example/start'],
  [host, 'https://demos.example/other', 'http://demos.example:81/other'],
  [
    { ...path, origin: 'https://demos.example:81' },
    'https://demos.example/start',
    '/demo/id/start',
  ],
  [{ ...path, requested: undefined }, 'https://demos.example/start', '/demo/id/start'],
])('a redirect to HTTPS of the same URL keeps its scheme (%#): %s → %s', (context, from, to) => {
  expect(rewriteLocation(from, context)).toBe(to);
});

test.each([
  ['0; url=/x', '0; url=/demo/id/x'],
  ['0;url=/x', '0;url=/demo/id/x'],
  ['5 ;\tURL = /x', '5 ;\tURL = /demo/id/x'],
  ['5, url=/x', '5, url=/demo/id/x'],
  ['5 /x', '5 /demo/id/x'],
  ['5; /x', '5; /demo/id/x'],
  ['1.5; Url=/x', '1.5; Url=/demo/id/x'],
  ['.5; url=/x', '.5; url=/demo/id/x'],
  ["5; url='/x'", "5; url='/demo/id/x'"],
  ['5; url="/x"; more', '5; url="/demo/id/x"; more'],
  ['5; url="/x', '5; url="/demo/id/x'],
  ["5; '/x'", "5; '/demo/id/x'"],
  ['5; url=http://10.0.0.2:8080/x', '5; url=/demo/id/x'],
  ['5; url=//demos.example/x', '5; url=/demo/id/x'],
  ['5; url=https://elsewhere.example/x', '5; url=https://elsewhere.example/x'],
  ['5; url=x', '5; url=x'],
  ['5; url=', '5; url='],
  ["5; url=''", "5; url=''"],
  ['5; url /x', '5; url /x'],
  ['5', '5'],
  ['5url=/x', '5url=/x'],
  ['url=/x', 'url=/x'],
  ['', ''],
])('Refresh: %s → %s', (refresh, becomes) => {
  expect(rewriteRefresh(refresh, path)).toBe(becomes);
});

test.each([
  ['</a.css>; rel=preload; as=style', '</demo/id/a.css>; rel=preload; as=style'],
  [
    '</a,b>; rel=next, </c;d>;rel="x, </y>"',
    '</demo/id/a,b>; rel=next, </demo/id/c;d>;rel="x, </y>"',
  ],
  ['</a>; title="\\"</b>", </c>', '</demo/id/a>; title="\\"</b>", </demo/id/c>'],
  ['<http://demos.example/a>,<https://e.example/b>', '</demo/id/a>,<https://e.example/b>'],
  ['< /a >; rel=x', '</demo/id/a>; rel=x'],
  ['<a>, <>, <?p=2>', '<a>, <>, <?p=2>'],
  ['</a', '</a'],
  ['"</a>', '"</a>'],
])('Link: %s → %s', (link, becomes) => {
  expect(rewriteResponse(['Link', link], path)).toEqual(['Link', becomes]);
});

test('hostile Link and Refresh values take linear time', () => {
  const before = performance.now();
  for (const part of ['<', '"', '"\\', '<"', '"<', '\\"', '</a>"']) {
    rewriteResponse(['Link', part.repeat(40_000)], path);
  }
  for (const part of ['0', ' ', '0 ', '.', "'", 'url=']) {
    rewriteRefresh(part.repeat(40_000), path);
    rewriteRefresh(`0${part.repeat(40_000)}`, path);
  }
  expect(performance.now() - before).toBeLessThan(2_000);
});

test.each([
  ['a=1; Path=/', 'a=1; Path=/outer/demo/id/'],
  ['a=1; Path=/app', 'a=1; Path=/outer/demo/id/app'],
  ['a=1; Path=/demo/id/', 'a=1; Path=/outer/demo/id/'],
  ['a=1; Path=/outer/demo/id/', 'a=1; Path=/outer/demo/id/'],
])('Set-Cookie below an outer prefix: %s → %s', (cookie, becomes) => {
  expect(rewriteCookie(cookie, outer)).toBe(becomes);
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
