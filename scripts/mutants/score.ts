/** A mutant and its fate. */
export interface Result {
  /** Path of the file in the repository. */
  readonly file: string;
  readonly line: number;
  readonly original: string;
  readonly replacement: string;
  readonly status: 'killed' | 'survived';
}

/** A mutant that behaves as the original, or differs in nothing that a test should fix. */
export interface Equivalent {
  readonly file: string;
  readonly original: string;
  readonly replacement: string;
  readonly reason: string;
}

/** The part of Stryker's report that is read (mutation-testing-report-schema). */
export interface Report {
  readonly files: Readonly<
    Record<
      string,
      {
        readonly source: string;
        readonly mutants: readonly {
          readonly status: string;
          readonly replacement?: string;
          readonly location: { readonly start: Position; readonly end: Position };
        }[];
      }
    >
  >;
}

/** One-based. */
interface Position {
  readonly line: number;
  readonly column: number;
}

/** Share of the mutants that the tests of an area must notice. */
const ENOUGH = 0.9;

const FATES: Readonly<Record<string, Result['status']>> = {
  Killed: 'killed',
  // An endless loop fails a test too.
  Timeout: 'killed',
  Survived: 'survived',
  NoCoverage: 'survived',
};

/** Reads the mutants of a report. Those outside the sample, and those that do not compile, are left out. */
export function resultsOf({ files }: Report, project: string): Result[] {
  return Object.entries(files).flatMap(([file, { source, mutants }]) =>
    mutants.flatMap(({ status, replacement = '', location: { start, end } }) => {
      const fate = FATES[status];
      if (fate === undefined) return [];
      const original = source.slice(offsetOf(source, start), offsetOf(source, end));
      const path = `${project}/${file}`;
      return [{ file: path, line: start.line, original, replacement, status: fate }];
    }),
  );
}

function offsetOf(source: string, { line, column }: Position): number {
  let at = 0;
  for (let n = 1; n < line; n++) at = source.indexOf('\n', at) + 1;
  return at + column - 1;
}

/**
 * The table of all areas, and every survivor.
 *
 * @param equivalents survivors that are left out of the score, each with its reason
 */
export function summarize(
  results: ReadonlyMap<string, readonly Result[]>,
  equivalents: readonly Equivalent[],
): { readonly text: string; readonly isEnough: boolean } {
  const keyOf = ({ file, original, replacement }: Omit<Equivalent, 'reason'>) =>
    JSON.stringify([file, original, replacement]);
  const explained = new Set(equivalents.map(keyOf));
  const lines: string[] = [];
  const survivors: string[] = [];
  let isEnough = results.size > 0;
  for (const [area, all] of results) {
    const survived = all.filter(({ status }) => status === 'survived');
    const real = survived.filter((result) => !explained.has(keyOf(result)));
    const counted = all.length - (survived.length - real.length);
    const killed = counted - real.length;
    // Without a mutant, the area was not tested.
    const score = counted === 0 ? 0 : killed / counted;
    if (score < ENOUGH) isEnough = false;
    lines.push(
      [
        area.padEnd(20),
        String(all.length).padStart(7),
        String(killed).padStart(7),
        String(real.length).padStart(9),
        String(survived.length - real.length).padStart(11),
        `${(score * 100).toFixed(1)} %`.padStart(8),
      ].join(''),
    );
    for (const { file, line, original, replacement } of real) {
      survivors.push(`  ${file}:${line}  ${oneLine(original)}  →  ${oneLine(replacement)}`);
    }
  }
  const head = 'area                mutants killed survived equivalent   score';
  return {
    text: ['', head, ...lines, '', `${survivors.length} survivors`, ...survivors].join('\n'),
    isEnough,
  };
}

function oneLine(text: string): string {
  const short = text.replace(/\s+/g, ' ');
  return short.length > 100 ? `${short.slice(0, 99)}…` : short || '(nothing)';
}
