import { expect, test } from 'vitest';
import { COMMAND, fromPage, type Row, table, withResults } from './table.ts';

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

const outcomes = (row: Row | undefined) =>
  row?.results.map(({ part, failed: why }) => [part, why ?? 'ok']);

test('a row has the versions, `ok` or the failed test, and a dash for what is not to run', () => {
  expect(table(rows)).toEqual([
    '| combination | Docker Engine | store        | Compose | main job | firewall | faults  | compose file    |',
    '| ----------- | ------------- | ------------ | ------- | -------- | -------- | ------- | --------------- |',
    '| trixie      | 26.1.5        | Redis 7.0.15 | 2.26.1  | ok       | –        | not run | down \\| removes |',
    '| valkey      | 20.10.24      | Valkey 8.1.1 | –       | ok       | –        | –       | –               |',
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
  expect(outcomes(first)).toEqual([
    ['main', 'ok'],
    ['faults', 'ok'],
  ]);
  expect(second?.results).toEqual([]);
  const newer = withResults(whole, [...runs, { ...trixie, docker: '26.2.0', results: [failed] }]);
  expect(newer[0]?.results).toEqual([failed]);
});

test('the table of the page counts as earlier runs, so that a run of one part keeps the others', () => {
  const [trixie, valkey] = rows;
  if (!trixie || !valkey) throw new Error('rows are missing');
  const page = `<!-- ${COMMAND} -->\n\n${table(rows).join('\n')}\n\n<!-- end -->\n`;
  const whole = rows.map((row) => ({ ...row, docker: '', store: '', compose: '', results: [] }));
  const read = fromPage(page, whole);
  expect(table(withResults(whole, read))).toEqual(table(rows));
  const faults: Row = { ...trixie, results: [{ ...ok, part: 'faults' }] };
  const [first] = withResults(whole, [...read, faults]);
  expect(outcomes(first)).toEqual([
    ['main', 'ok'],
    ['compose', 'down | removes'],
    ['faults', 'ok'],
  ]);
  // Another version of Compose concerns only the compose file.
  const [other] = withResults(whole, [
    ...read,
    { ...trixie, compose: '2.30.0', results: [{ ...ok, part: 'compose' }] },
  ]);
  expect(other?.compose).toBe('2.30.0');
  expect(outcomes(other)).toEqual([
    ['main', 'ok'],
    ['compose', 'ok'],
  ]);
});
