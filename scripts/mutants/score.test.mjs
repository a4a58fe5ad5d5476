import { expect, test } from 'vitest';
import { resultsOf, summarize } from './score.ts';

const source = 'const a = 1;\nif (a > 0) b();\n';
const at = (line, from, to) => ({
  start: { line, column: from },
  end: { line, column: to },
});
const report = (...statuses) => ({
  files: {
    'src/a.ts': {
      source,
      mutants: statuses.map((status) => ({
        status,
        replacement: 'a >= 0',
        location: at(2, 5, 10),
      })),
    },
  },
});

test('a mutant has its place and its text; what was not run does not count', () => {
  const results = resultsOf(
    report('Killed', 'Timeout', 'Survived', 'NoCoverage', 'Ignored', 'CompileError'),
    'libs/x',
  );
  expect(results.map(({ status }) => status)).toEqual([
    ...['killed', 'killed', 'survived', 'survived'],
  ]);
  expect(results[0]).toMatchObject({
    file: 'libs/x/src/a.ts',
    line: 2,
    original: 'a > 0',
    replacement: 'a >= 0',
  });
});

const results = (killed, survived) =>
  resultsOf(report(...Array(killed).fill('Killed'), ...Array(survived).fill('Survived')), 'libs/x');
const explained = {
  file: 'libs/x/src/a.ts',
  original: 'a > 0',
  replacement: 'a >= 0',
  reason: 'a is never 0',
};

test('nine of ten are enough, and each survivor is named', () => {
  const enough = summarize(new Map([['access', results(9, 1)]]), []);
  expect(enough.isEnough).toBe(true);
  expect(enough.text).toContain('libs/x/src/a.ts:2  a > 0  →  a >= 0');
  expect(enough.text).toMatch(/access +10 +9 +1 +0 +90\.0 %/);
  expect(summarize(new Map([['access', results(8, 1)]]), []).isEnough).toBe(false);
});

test('a survivor with a reason does not count', () => {
  const { text, isEnough } = summarize(new Map([['access', results(8, 2)]]), [explained]);
  expect(isEnough).toBe(true);
  expect(text).toMatch(/access +10 +8 +0 +2 +100\.0 %/);
  expect(text).toContain('0 survivors');
});

test('an area without a mutant was not tested', () => {
  expect(summarize(new Map([['access', []]]), []).isEnough).toBe(false);
  expect(summarize(new Map(), []).isEnough).toBe(false);
});
