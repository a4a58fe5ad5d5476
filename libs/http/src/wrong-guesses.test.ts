import { expect, test } from 'vitest';
import { createWrongGuesses } from './wrong-guesses.ts';

test('an address has so many wrong guesses a window, and others are not its fault', () => {
  let now = 0;
  const guesses = createWrongGuesses({ most: 2, within: 1000 }, () => now);
  for (let i = 0; i < 2; i++) {
    expect(guesses.mayTry('a')).toBe(true);
    guesses.note('a');
  }
  expect(guesses.mayTry('a')).toBe(false);
  expect(guesses.mayTry('b')).toBe(true);
  now = 1000;
  expect(guesses.mayTry('a')).toBe(true);
});
