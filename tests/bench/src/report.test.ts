import { expect, test } from 'vitest';
import type { Outcome, Ratio } from './bench.ts';
import { shortcomings } from './report.ts';

const ratio = (isReached: boolean | undefined): Ratio => ({
  figure: 'requests/s',
  against: 'nginx',
  ratio: 0.4,
  lowest: 0.3,
  highest: 0.5,
  reach: isReached === undefined ? undefined : '≥ 0.45',
  isReached,
});
const outcome = (...ratios: Ratio[]): Outcome => ({ figures: [], rows: [], ratios, notes: [] });

test('a run in which all was reached has no shortcomings; a figure without a mark is none', () => {
  const found = { fleet: outcome(ratio(true), ratio(undefined)) };
  expect(shortcomings({ found, failed: {}, skipped: [] })).toEqual([]);
});

test('figures that were not reached, scenarios that failed and those that were skipped are told', () => {
  const found = { fleet: outcome(ratio(true), ratio(false)) };
  const reported = shortcomings({ found, failed: { echo: 'Error: cut' }, skipped: ['growth'] });
  expect(reported).toEqual([
    'NOT REACHED fleet: requests/s against nginx, 0.40 (≥ 0.45)',
    'FAILED echo: Error: cut',
    'SKIPPED growth: the time was up',
  ]);
});
