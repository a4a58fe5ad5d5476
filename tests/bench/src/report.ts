import type { Outcome, Spread } from './bench.ts';

/** Formats the outcome of a scenario: one line per contender, then the ratios. */
export function report(title: string, { figures, rows, ratios, notes }: Outcome): string {
  const [first] = Object.values(rows[0]?.figures ?? {});
  const head = [`median (min–max) of ${first?.rounds ?? 0}`, ...figures];
  const body = rows.map((row) => [row.name, ...figures.map((name) => cell(row.figures[name]))]);
  const verdict = ratios.map(({ figure, against, ratio, lowest, highest, reach, isReached }) => [
    `${figure} against ${against}`,
    `${ratio.toFixed(2)} (${lowest.toFixed(2)}–${highest.toFixed(2)})`,
    reach === undefined ? '' : `${reach} ${isReached === true ? 'reached' : 'NOT REACHED'}`,
  ]);
  return [`\n${title}`, ...align([head, ...body]), ...align(verdict), ...notes].join('\n') + '\n';
}

/** Outcome of a whole run. */
export interface Run {
  readonly found: Readonly<Record<string, Outcome>>;
  /** Errors of the failed scenarios by name. */
  readonly failed: Readonly<Record<string, string>>;
  /** Scenarios that did not start before the time limit. */
  readonly skipped: readonly string[];
}

/** Lists everything that the run did not show, one line each. An empty list is a success. */
export function shortcomings({ found, failed, skipped }: Run): string[] {
  const missed = Object.entries(found).flatMap(([name, { ratios }]) =>
    ratios
      .filter(({ isReached }) => isReached === false)
      .map(
        ({ figure, against, ratio, reach }) =>
          `NOT REACHED ${name}: ${figure} against ${against}, ${ratio.toFixed(2)} (${reach ?? ''})`,
      ),
  );
  return [
    ...missed,
    ...Object.entries(failed).map(([name, reason]) => `FAILED ${name}: ${reason}`),
    ...skipped.map((name) => `SKIPPED ${name}: no time left`),
  ];
}

function cell(spread: Spread | undefined): string {
  if (spread === undefined) return '';
  const { median, min, max, rounds } = spread;
  return rounds === 1 ? show(median) : `${show(median)} (${show(min)}–${show(max)})`;
}

function show(value: number): string {
  return value >= 100 ? String(Math.round(value)) : value.toFixed(1);
}

function align(lines: readonly (readonly string[])[]): string[] {
  const widths = (lines[0] ?? []).map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  return lines.map((line) => {
    const cells = line.map((text, column) => {
      const width = widths[column] ?? 0;
      return column === 0 ? text.padEnd(width) : text.padStart(width);
    });
    return `  ${cells.join('  ')}`.trimEnd();
  });
}
