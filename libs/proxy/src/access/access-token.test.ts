import * as crypto from 'node:crypto';
import { expect, test, vi } from 'vitest';
import { makeAccessToken, matchesToken, presentedTokens } from './access-token.ts';

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
    expect(matchesToken(other, hash), other).toBe(false);
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
