import { expect, test } from 'vitest';
import { type Row, table, withResults, withTable } from './table.ts';

const ok = { kind: 'part', passed: 3, failed: undefined, tookMs: 1, log: '' } as const;
const rows: Row[] = [
  {
    ...{ name: 'trixie', docker: '26.1.5', store: 'Redis 7.0.15', compose: '2.26.1' },
    parts: ['main', 'faults', 'compose'],
    results: [
      { ...ok, part: 'main' },
      { ...ok, part: 'compose', failed: 'down | removes' },
    ],
  },
  {
    ...{ name: 'valkey', docker: '20.10.24', store: 'Valkey 8.1.1', compose: '1.29.2' },
    parts: ['main'],
    results: [{ ...ok, part: 'main' }],
  },
];

test('a row has the versions, `ok` or the failed test, and a dash for what is not to run', () => {
  expect(table(rows)).toEqual([
    '| Docker Engine | store        | Compose | main job | firewall | faults  | compose file    |',
    '| ------------- | ------------ | ------- | -------- | -------- | ------- | --------------- |',
    '| 26.1.5        | Redis 7.0.15 | 2.26.1  | ok       | –        | not run | down \\| removes |',
    '| 20.10.24      | Valkey 8.1.1 | –       | ok       | –        | –       | –               |',
  ]);
});

test('the latest result of each part counts, if the versions are still the same', () => {
  const [trixie, valkey] = rows;
  if (!trixie || !valkey) throw new Error('rows are missing');
  const whole = [
    { ...trixie, docker: '', results: [] },
    { ...valkey, results: [] },
  ];
  const failed = { ...ok, part: 'main', failed: 'kill' } as const;
  const runs: Row[] = [
    { ...trixie, results: [failed, { ...ok, part: 'faults' }] },
    { ...trixie, results: [{ ...ok, part: 'main' }] },
  ];
  const [first, second] = withResults(whole, runs);
  expect(first).toMatchObject({ docker: '26.1.5', parts: trixie.parts });
  expect(first?.results.map(({ part, failed: why }) => [part, why])).toEqual([
    ['main', undefined],
    ['faults', undefined],
  ]);
  expect(second?.results).toEqual([]);
  const newer = withResults(whole, [...runs, { ...trixie, docker: '26.2.0', results: [failed] }]);
  expect(newer[0]?.results).toEqual([failed]);
});

test('the table of a page is replaced, and the rest of the page is kept', () => {
  const page = 'before\n\n<!-- npm run matrix -- --write -->\n\nold\n\n<!-- end -->\n\nafter\n';
  const written = withTable(page, ['| new |']);
  expect(written).toBe(page.replace('old', '| new |'));
  expect(withTable(written, ['| new |'])).toBe(written);
  expect(() => withTable('no table', [])).toThrow('no table between');
});
