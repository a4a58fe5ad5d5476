import { expect, test } from 'vitest';
import type { Broken } from '../src/invariants/invariants.ts';
import { Judge } from '../src/invariants/judge.ts';
import { Tally } from '../src/tally.ts';

const leak: Broken = { invariant: 'no leak', what: 'a1 is there' };
const slow: Broken = { ...leak, within: 60_000 };

test('what holds is heard out at once', () => {
  const judge = new Judge();
  expect(judge.hear([], 5)).toBe(true);
  expect(judge.verdict).toEqual([]);
});

test('what is mended within its time does not count', () => {
  const judge = new Judge();
  expect(judge.hear([leak], 29_000)).toBe(false);
  expect(judge.hear([], 29_500)).toBe(true);
  expect(judge.verdict).toEqual([]);
});

test('what is still broken when its time is up counts, once it is certain', () => {
  const judge = new Judge();
  expect(judge.hear([leak], 30_001)).toBe(false);
  expect(judge.hear([leak], 34_002)).toBe(true);
  expect(judge.verdict).toEqual([leak]);
});

test('what a look soon after does not find any more was life that went on', () => {
  const judge = new Judge();
  judge.hear([leak], 31_000);
  expect(judge.hear([], 32_000)).toBe(true);
  expect(judge.verdict).toEqual([]);
});

test('what is told in other words at every look counts too', () => {
  const judge = new Judge();
  const at = (took: number) => judge.hear([{ ...leak, what: `${took} ms late` }], took);
  for (let took = 31_000; took <= 51_000; took += 1_000) expect(at(took)).toBe(false);
  expect(at(51_001)).toBe(true);
  expect(judge.verdict).toHaveLength(1);
});

test('what may take longer is given longer', () => {
  const judge = new Judge();
  expect(judge.hear([slow], 50_000)).toBe(false);
  expect(judge.hear([slow], 60_001)).toBe(false);
  expect(judge.hear([slow], 64_002)).toBe(true);
  expect(judge.verdict).toEqual([slow]);
});

test('a tally holds where every step was struck and nothing was broken', () => {
  const tally = new Tally();
  // Nothing that ran has shown nothing.
  expect(tally.holds).toBe(false);
  tally.run('create', true);
  tally.run('create', false);
  tally.recovered(['create'], 5, []);
  expect(tally.holds).toBe(true);
  tally.run('remove', false);
  expect(tally.holds).toBe(false);
  tally.run('remove', true);
  expect(tally.holds).toBe(true);
  tally.recovered(['remove'], 35_000, [leak]);
  expect(tally.holds).toBe(false);
});
