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

test('a run that reached all targets has no shortcomings; ratios without a target are ignored', () => {
  const found = { fleet: outcome(ratio(true), ratio(undefined)) };
  expect(shortcomings({ found, failed: {}, skipped: [] })).toEqual([]);
});

test('missed targets, failed scenarios and skipped scenarios are reported', () => {
  const found = { fleet: outcome(ratio(true), ratio(false)) };
  const reported = shortcomings({ found, failed: { echo: 'Error: cut' }, skipped: ['growth'] });
  expect(reported).toEqual([
    'NOT REACHED fleet: requests/s against nginx, 0.40 (≥ 0.45)',
    'FAILED echo: Error: cut',
    'SKIPPED growth: no time left',
  ]);
});
