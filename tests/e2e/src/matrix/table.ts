import { type Finding, PARTS, type Part } from './parts.ts';

/** The results of one combination of versions. */
export interface Row {
  readonly name: string;
  /** What is to run with this combination. */
  readonly parts: readonly Part[];
  /** The versions as the programs report them. */
  readonly docker: string;
  readonly compose: string;
  readonly store: string;
  readonly results: (Finding & { kind: 'part' })[];
}

const TITLES: Readonly<Record<Part, string>> = {
  main: 'main job',
  firewall: 'firewall',
  faults: 'faults',
  compose: 'compose file',
};

const BEGIN = '<!-- npm run matrix -- --write -->';
const END = '<!-- end -->';

/** The rows as a Markdown table, in the format of Prettier. */
export function table(rows: readonly Row[]): string[] {
  const parts = Object.keys(PARTS) as Part[];
  const head = ['Docker Engine', 'store', 'Compose', ...parts.map((part) => TITLES[part])];
  const cells = rows.map((row) => {
    const found = (part: Part) => row.results.find((result) => result.part === part);
    const compose = found('compose') ? row.compose : '–';
    const outcomes = parts.map((part) => (row.parts.includes(part) ? outcome(found(part)) : '–'));
    return [row.docker, row.store, compose, ...outcomes];
  });
  const width = (column: number) =>
    Math.max(...[head, ...cells].map((row) => row[column]?.length ?? 0));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => cell.padEnd(width(column))).join(' | ')} |`;
  return [line(head), line(head.map((_, column) => '-'.repeat(width(column)))), ...cells.map(line)];
}

function outcome(result: Row['results'][number] | undefined): string {
  if (!result) return 'not run';
  return result.failed === undefined ? 'ok' : result.failed.replaceAll('|', '\\|');
}

/**
 * The rows of `whole` with the results of earlier runs and of this one, of which the later counts.
 * A result with another version than the latest of its combination does not count.
 */
export function withResults(whole: readonly Row[], runs: readonly Row[]): Row[] {
  return whole.map((row) => {
    const own = runs.filter(({ name }) => name === row.name);
    const last = own.at(-1);
    if (!last) return row;
    const { docker, compose, store } = last;
    const results = new Map(
      own
        .filter(
          (run) => [run.docker, run.compose, run.store].join() === [docker, compose, store].join(),
        )
        .flatMap((run) => run.results)
        .map((result) => [result.part, result]),
    );
    return { ...row, docker, compose, store, results: [...results.values()] };
  });
}

/**
 * Replaces the table of a page.
 * @throws Error if the page has no place for it
 */
export function withTable(page: string, lines: readonly string[]): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END, begin);
  if (begin < 0 || end < 0) throw new Error(`The page has no table between ${BEGIN} and ${END}.`);
  return `${page.slice(0, begin)}${BEGIN}\n\n${lines.join('\n')}\n\n${page.slice(end)}`;
}
