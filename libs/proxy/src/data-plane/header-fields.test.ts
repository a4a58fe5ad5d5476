import { expect, test } from 'vitest';
import { dropReservedCookies, setsReservedCookie } from './header-fields.ts';

test.each([
  ['a=1', 'a=1'],
  ['a=1; b=2', 'a=1; b=2'],
  ['ephemera-dashboard=x', undefined],
  ['__Host-ephemera-dashboard=x', undefined],
  ['a=1; ephemera-dashboard=x', 'a=1'],
  ['ephemera-dashboard=x; a=1', 'a=1'],
  ['a=1;ephemera-dashboard=x;b=2', 'a=1;b=2'],
  ['a=1; \tephemera-dashboard=x', 'a=1'],
  ['a=1; Ephemera-Dashboard=x', 'a=1'],
  ['a=1; __SECURE-ephemera-x=1', 'a=1'],
  // A quote of another cookie has no effect: browsers split at every semicolon.
  ['a="1; ephemera-dashboard=x; b=2"', 'a="1; b=2"'],
  ['a=ephemera-dashboard', 'a=ephemera-dashboard'],
  ['my-ephemera-notes=1', 'my-ephemera-notes=1'],
  ['ephemera=1', 'ephemera=1'],
  ['', ''],
])('Cookie: %s → %s', (cookie, becomes) => {
  expect(dropReservedCookies(cookie)).toBe(becomes);
});

test.each([
  'ephemera-dashboard=x; Path=/instances',
  ' ephemera-dashboard=x',
  '__Host-ephemera-dashboard=x; Path=/; Secure',
  '__host-EPHEMERA-dashboard=x',
  // Browsers store this cookie without a name, and send its value as if it had one.
  '=ephemera-dashboard=x; Path=/instances',
  '= =ephemera-dashboard=x',
  'ephemera-dashboard',
])('Set-Cookie: %s is refused', (cookie) => {
  expect(setsReservedCookie(cookie)).toBe(true);
});

test.each(['a=1', 'a=ephemera-x', 'my-ephemera-x=1', 'ephemera=1', '', '='])(
  'Set-Cookie: %s passes',
  (cookie) => {
    expect(setsReservedCookie(cookie)).toBe(false);
  },
);
