import { expect, test } from 'vitest';
import { ago, left } from './times.ts';

test('times are rounded', () => {
  expect(ago(-40)).toBe('just now');
  expect(ago(999)).toBe('just now');
  expect(ago(61_500)).toBe('1m1s ago');
  expect(ago(2 * 3_600_000 + 61_000)).toBe('2h1m ago');
  expect(left(29 * 60_000 + 1)).toBe('29m');
  expect(left(200)).toBe('1s');
  expect(left(0)).toBe('overdue by 1s');
  expect(left(-12_345)).toBe('overdue by 12s');
});
