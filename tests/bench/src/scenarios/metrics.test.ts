import { expect, test } from 'vitest';
import { upperBound } from './metrics.ts';

/** Rounds with these CPU times, and with 100 µs without metrics. */
const seriesOf = (times: readonly number[]) =>
  new Map([
    ['Ephemera', times.map((time) => ({ 'CPU µs each': time }))],
    ['without metrics', times.map(() => ({ 'CPU µs each': 100 }))],
  ]);

test('the bound lies above the mean by the spread of the pairs', () => {
  const equal = upperBound(seriesOf(Array<number>(10).fill(103)));
  expect(equal).toMatchObject({ lowest: 1.03, highest: 1.03, isReached: true });
  expect(equal.ratio).toBeCloseTo(1.03);
  // The standard deviation is 0.0527, so that the bound is 1.03 + 1.833 × 0.0527 / √10.
  const spread = upperBound(seriesOf([98, 108, 98, 108, 98, 108, 98, 108, 98, 108]));
  expect(spread.ratio).toBeCloseTo(1.0606, 3);
  expect(spread.isReached).toBe(false);
});

test('fewer than ten pairs show nothing', () => {
  expect(upperBound(seriesOf([100, 100])).isReached).toBe(false);
});
