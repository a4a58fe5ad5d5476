import { expect, test } from 'vitest';
import { createAuthThrottle } from './auth-throttle.ts';

test('an address has so many wrong guesses a window, and others are not its fault', () => {
  let now = 0;
  const authThrottle = createAuthThrottle({ max: 2, timeoutMs: 1000 }, () => now);
  for (let i = 0; i < 2; i++) {
    expect(authThrottle.isAllowed('a')).toBe(true);
    authThrottle.recordFailure('a');
  }
  expect(authThrottle.isAllowed('a')).toBe(false);
  expect(authThrottle.isAllowed('b')).toBe(true);
  now = 1000;
  expect(authThrottle.isAllowed('a')).toBe(true);
});
