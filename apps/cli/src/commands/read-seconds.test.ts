import { expect, test } from 'vitest';

import { readSeconds } from './read-seconds.ts';

test('a duration as people write it is whole seconds', () => {
  expect(readSeconds('1h30m')).toBe(5400);
});

test.each(['5', '-1s', '0s', '1500ms', 'soon'])('--timeout %s is refused', (timeout) => {
  expect(() => readSeconds(timeout)).toThrow(`--timeout is "${timeout}"`);
});
