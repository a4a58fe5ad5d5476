import { expect, test } from 'vitest';
import type { Broken } from '../src/invariants/invariants.ts';
import { Oracle } from '../src/invariants/oracle.ts';
import { Report } from '../src/report.ts';

const leak: Broken = { invariant: 'no leak', what: 'a1 is there' };
const slow: Broken = { ...leak, timeoutMs: 60_000 };

test('a snapshot without violations is final at once', () => {
  const oracle = new Oracle();
  expect(oracle.observe([], 5)).toBe(true);
  expect(oracle.verdict).toEqual([]);
});

test('a violation that ends within its time limit does not count', () => {
  const oracle = new Oracle();
  expect(oracle.observe([leak], 29_000)).toBe(false);
  expect(oracle.observe([], 29_500)).toBe(true);
  expect(oracle.verdict).toEqual([]);
});

test('a violation after its time limit counts once later snapshots confirm it', () => {
  const oracle = new Oracle();
  expect(oracle.observe([leak], 30_001)).toBe(false);
  expect(oracle.observe([leak], 34_002)).toBe(true);
  expect(oracle.verdict).toEqual([leak]);
});

test('a late violation that the next snapshot does not confirm does not count', () => {
  const oracle = new Oracle();
  oracle.observe([leak], 31_000);
  expect(oracle.observe([], 32_000)).toBe(true);
  expect(oracle.verdict).toEqual([]);
});

test('a violation whose text changes in every snapshot counts', () => {
  const oracle = new Oracle();
  const at = (took: number) => oracle.observe([{ ...leak, what: `${took} ms late` }], took);
  for (let took = 31_000; took <= 51_000; took += 1_000) expect(at(took)).toBe(false);
  expect(at(51_001)).toBe(true);
  expect(oracle.verdict).toHaveLength(1);
});

test('an invariant with a longer time limit is checked later', () => {
  const oracle = new Oracle();
  expect(oracle.observe([slow], 50_000)).toBe(false);
  expect(oracle.observe([slow], 60_001)).toBe(false);
  expect(oracle.observe([slow], 64_002)).toBe(true);
  expect(oracle.verdict).toEqual([slow]);
});

test('a report holds if every step had a fault and no invariant was broken', () => {
  const report = new Report();
  // A report without runs proves nothing.
  expect(report.holds).toBe(false);
  report.run('create', true);
  report.run('create', false);
  report.recovered(['create'], 5, []);
  expect(report.holds).toBe(true);
  report.run('remove', false);
  expect(report.holds).toBe(false);
  report.run('remove', true);
  expect(report.holds).toBe(true);
  report.recovered(['remove'], 35_000, [leak]);
  expect(report.holds).toBe(false);
});
