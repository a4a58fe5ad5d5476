import * as crypto from 'node:crypto';
import { expect, test, vi } from 'vitest';
import {
  accessCookies,
  accessLink,
  makeAccessToken,
  matchesToken,
  presentedTokens,
  withoutParameter,
} from './access-token.ts';

vi.mock('node:crypto', async (original) => {
  const actual = await original<typeof crypto>();
  return { ...actual, timingSafeEqual: vi.fn(actual.timingSafeEqual) };
});
const compare = vi.mocked(crypto.timingSafeEqual);

const inCookie = (cookie: string) => presentedTokens({ cookie }, '/');

test('the cookie that no other host can set comes first, and each token once', () => {
  const cookie =
    'ephemera-token=b; a=1; ephemera-token=c; __Host-ephemera-token=a; ephemera-token=b';
  expect(inCookie(cookie)).toEqual({ by: 'cookie', tokens: ['a', 'b', 'c'] });
});

test.each([
  'x=ephemera-token',
  'xephemera-token=a',
  'Ephemera-Token=a',
  '__host-ephemera-token=a',
  'ephemera-token2=a',
  '__proto__=ephemera-token',
  'constructor=ephemera-token',
  '',
])('%j has no token', (cookie) => {
  expect(inCookie(cookie)).toBeUndefined();
});

test.each(['ephemera-token=', ' ephemera-token = ', 'ephemera-token'])(
  '%j has a token that matches nothing',
  (cookie) => {
    const tokens = inCookie(cookie)?.tokens ?? [];
    expect(tokens).toHaveLength(1);
    const { hash } = makeAccessToken();
    expect(tokens.some((token) => matchesToken(token, hash))).toBe(false);
  },
);

test('a token matches its own hash only', () => {
  const { token, hash } = makeAccessToken();
  expect(matchesToken(token, hash)).toBe(true);
  expect(matchesToken(makeAccessToken().token, hash)).toBe(false);
  for (const other of ['', token.slice(1), `${token}x`, ` ${token}`, 'é'.repeat(43)]) {
    compare.mockClear();
    expect(matchesToken(other, hash), other).toBe(false);
    // A text of another length costs no comparison.
    if (other.length !== token.length) expect(compare).not.toHaveBeenCalled();
  }
  expect(matchesToken(token, '')).toBe(false);
});

test('a token of the right length is compared in constant time', () => {
  const { token, hash } = makeAccessToken();
  for (const input of [token, makeAccessToken().token, `x${token.slice(1)}`]) {
    compare.mockClear();
    matchesToken(input, hash);
    expect(compare).toHaveBeenCalledOnce();
  }
});

test.each([
  ['http://a/demo/x/', 'http://a/demo/x/?ephemera-token=T'],
  ['http://a/demo/x/lab?p=1', 'http://a/demo/x/lab?p=1&ephemera-token=T'],
  // The fragment never reaches the server, so the token stands before it.
  ['http://a/#/part?q=1', 'http://a/?ephemera-token=T#/part?q=1'],
])('the link of %s is %s', (url, link) => {
  expect(accessLink(url, 'T')).toBe(link);
});

test.each([
  ['/a?ephemera-token=T', '/a'],
  ['/a?x=1&ephemera-token=T&y=2', '/a?x=1&y=2'],
  ['/a?ephemera-token', '/a'],
  ['/a?ephemera-token2=T', '/a?ephemera-token2=T'],
  // A browser would take `//host` for another host.
  ['//evil.example/?ephemera-token=T', '/.//evil.example/'],
])('without its token, %s is %s', (target, expected) => {
  expect(withoutParameter(target)).toBe(expected);
});

test.each([
  ['/a?ephemera-token=T', ['T']],
  // Wrong tokens, which a cookie beside them does not replace.
  ['/a?ephemera-token', ['']],
  ['/a?ephemera-token=T&ephemera-token=T', []],
])('%s presents %j by its link', (target, shown) => {
  const headers = { cookie: 'ephemera-token=C', 'ephemera-token': 'H' };
  expect(presentedTokens(headers, target)).toEqual({ by: 'link', tokens: shown });
});

test('a target without the parameter leaves header and cookies', () => {
  expect(presentedTokens({ 'ephemera-token': 'H', cookie: 'ephemera-token=C' }, '/?a=1')).toEqual({
    by: 'header',
    tokens: ['H'],
  });
  expect(presentedTokens({ cookie: 'ephemera-token=C' }, '/ephemera-token?a=1')).toEqual({
    by: 'cookie',
    tokens: ['C'],
  });
});

test('only a host of its own over TLS gets the cookie that no other host can set', () => {
  const bound = { prefix: 'demo', id: 'x', ports: [] };
  const nameOf = (form: 'host' | 'path', secure: boolean) =>
    accessCookies('T', { ...bound, form, secure })[0]?.split('=')[0];
  expect(nameOf('host', true)).toBe('__Host-ephemera-token');
  expect(nameOf('host', false)).toBe('ephemera-token');
  // Its path is not `/`, which `__Host-` requires.
  expect(nameOf('path', true)).toBe('ephemera-token');
});
