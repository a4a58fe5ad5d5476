import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatDuration, parseDuration } from './duration.ts';

test.each([
  ['250ms', 250],
  ['90s', 90_000],
  ['30m', 1_800_000],
  ['2h', 7_200_000],
  ['1d', 86_400_000],
  ['1h30m', 5_400_000],
  ['1.5s', 1_500],
  ['1.001s', 1_001],
  ['2.3m', 138_000],
  ['0s', 0],
])('%s is %i ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each(['', '5', 's', '-5s', '+5s', '5 s', '5S', '.5s', '5s ', '1e3s', '0.1ms', `${2 ** 60}s`])(
  '"%s" is not a duration',
  (text) => {
    expect(parseDuration(text)).toBeUndefined();
  },
);

test('a formatted duration can be parsed again', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000_000 }), (seconds) => {
      expect(parseDuration(formatDuration(seconds * 1000))).toBe(seconds * 1000);
    }),
  );
});

test('a decimal number of seconds is converted to milliseconds', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10_000_000 }), (ms) => {
      expect(parseDuration(`${(ms / 1000).toFixed(3)}s`)).toBe(ms);
    }),
  );
});

test.each([
  [0, '0ms'],
  [999, '999ms'],
  [90_000, '1m30s'],
  [3_600_000, '1h'],
  [90_061_000, '1d1h1m1s'],
  [1_499, '1s'],
])('%i ms is written %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});
