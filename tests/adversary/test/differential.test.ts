import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { describeOutcome, type Result, runDifferential } from '../src/differential/differential.ts';
import { FIELDS_ROWS } from '../src/differential/requests-fields.ts';
import { FRAMING_ROWS } from '../src/differential/requests-framing.ts';
import { TARGETS_ROWS } from '../src/differential/requests-targets.ts';
import { RESPONSE_ROWS } from '../src/differential/responses.ts';

const ROWS = [...FRAMING_ROWS, ...TARGETS_ROWS, ...FIELDS_ROWS, ...RESPONSE_ROWS];
const EXCEPTIONS = ROWS.flatMap(({ row, exception }) =>
  exception ? [[row, exception] as const] : [],
);

let results: readonly Result[];
beforeAll(async () => {
  results = await runDifferential(ROWS);
}, 240_000);

const lineOf = ({ form, name, outcomes, faults }: Result) =>
  `${form} form, ${name}: ${faults.join('; ')} [Ephemera ${describeOutcome(outcomes.ephemera)} | ` +
  `nginx ${describeOutcome(outcomes.nginx)} | haproxy ${describeOutcome(outcomes.haproxy)}]`;

test.each(ROWS.map(({ row }) => row))('%s', (row) => {
  const faulty = results.filter((result) => result.row.row === row && result.faults.length > 0);
  expect(faulty.map(lineOf)).toEqual([]);
});

test('what nginx and haproxy both deliver is delivered, apart from the listed exceptions', () => {
  const stricter = results.filter(({ isStricter, row }) => isStricter && !row.exception);
  expect(stricter.map(lineOf)).toEqual([]);
});

describe('exceptions', () => {
  test.each(EXCEPTIONS)('%s: nginx and haproxy both deliver a message of this row', (row) => {
    expect(results.some((result) => result.row.row === row && result.isStricter)).toBe(true);
  });

  test.each(EXCEPTIONS)('%s: docs/ADVERSARY.md gives the reason', (row, { section, reason }) => {
    const page = readFileSync(new URL('../../../docs/ADVERSARY.md', import.meta.url), 'utf8');
    expect(page.replaceAll(/ +/g, ' ')).toContain(`| ${row} | ${section} | ${reason} |`);
  });
});

test('each row has a name of its own', () => {
  expect(new Set(ROWS.map(({ row }) => row)).size).toBe(ROWS.length);
});
