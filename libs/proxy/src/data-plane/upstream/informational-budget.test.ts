import { expect, test } from 'vitest';
import { InformationalBudget } from './informational-budget.ts';
import { INFORMATIONAL_BURST, MAX_INFORMATIONAL_BYTES } from '../limits.ts';

test('ten a second pass for an hour', () => {
  const budget = new InformationalBudget(0);
  for (let now = 0; now < 3_600_000; now += 100) expect(budget.take(29, now)).toBe(true);
});

test('a burst passes, one more does not, and a second later ten pass again', () => {
  const budget = new InformationalBudget(0);
  for (let i = 0; i < INFORMATIONAL_BURST; i++) expect(budget.take(29, 0)).toBe(true);
  expect(budget.take(29, 0)).toBe(false);
  for (let i = 0; i < 10; i++) expect(budget.take(29, 1_000)).toBe(true);
  expect(budget.take(29, 1_000)).toBe(false);
});

test('more bytes than the limit do not pass, however slowly they come', () => {
  const budget = new InformationalBudget(0);
  expect(budget.take(MAX_INFORMATIONAL_BYTES, 0)).toBe(true);
  expect(budget.take(1, 3_600_000)).toBe(false);
});
