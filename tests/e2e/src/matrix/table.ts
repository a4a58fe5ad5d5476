import { markdownTable, rowsOf } from '../page-table.ts';
import { type Finding, PARTS, type Part } from './parts.ts';

/** The results of one combination of versions. */
export interface Row {
  /** The suites of engine and store, such as `bookworm-redis-trixie`. */
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
const ALL_PARTS = Object.keys(PARTS) as Part[];

/** The command whose table it is, as in the comment above it. */
export const COMMAND = 'npm run matrix -- --write';

const NOT_RUN = 'not run';
/** Of a part that does not depend on the combination. */
const NONE = '–';

/** The rows as a Markdown table. */
export function table(rows: readonly Row[]): string[] {
  const parts = ALL_PARTS.map((part) => TITLES[part]);
  const head = ['combination', 'Docker Engine', 'store', 'Compose', ...parts];
  const cells = rows.map((row) => {
    const found = (part: Part) => row.results.find((result) => result.part === part);
    const compose = found('compose') ? row.compose : NONE;
    const outcomes = ALL_PARTS.map((part) =>
      row.parts.includes(part) ? outcome(found(part)) : NONE,
    );
    return [row.name, row.docker, row.store, compose, ...outcomes];
  });
  return markdownTable(head, cells);
}

function outcome(result: Row['results'][number] | undefined): string {
  if (!result) return NOT_RUN;
  return result.failed ?? 'ok';
}

/** The rows of `whole` with the results that the table of a page has. */
export function fromPage(page: string, whole: readonly Row[]): Row[] {
  const cells = new Map(rowsOf(page, COMMAND).map((row) => [row[0], row]));
  return whole.flatMap((row) => {
    const [, docker = '', store = '', compose = '', ...outcomes] = cells.get(row.name) ?? [];
    const results = ALL_PARTS.flatMap((part, index): Row['results'] => {
      const text = outcomes[index] ?? NOT_RUN;
      if (text === NOT_RUN || text === NONE) return [];
      const failed = text === 'ok' ? undefined : text;
      return [{ kind: 'part', part, passed: 0, failed, tookMs: 0, log: '' }];
    });
    return results.length > 0 ? [{ ...row, docker, store, compose, results }] : [];
  });
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
    const { docker, store } = last;
    // A row without the compose file may have no version of Compose.
    const compose = own.findLast(({ results }) => results.some(isCompose))?.compose ?? last.compose;
    const isCurrent = (run: Row) => run.docker === docker && run.store === store;
    const results = new Map(
      own
        .filter(isCurrent)
        .flatMap((run) =>
          run.results.filter((result) => !isCompose(result) || run.compose === compose),
        )
        .map((result) => [result.part, result]),
    );
    return { ...row, docker, compose, store, results: [...results.values()] };
  });
}

const isCompose = ({ part }: Row['results'][number]) => part === 'compose';
