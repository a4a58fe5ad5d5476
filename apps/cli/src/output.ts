import { UsageError, type CliContext } from './context.ts';
import { createTextWriter } from './terminal/visible.ts';

export interface OutputFlags {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly raw: boolean;
}

/** `--raw`, for each command that prints text from outside. */
export const rawFlag = {
  kind: 'boolean',
  brief: 'Print control characters to a terminal as they are',
  default: false,
  withNegated: false,
} as const;

/** `--json`, `--quiet` and `--raw`, for each command that prints a result. */
export const outputFlags = {
  json: { kind: 'boolean', brief: 'Print the result as JSON', default: false, withNegated: false },
  quiet: {
    kind: 'boolean',
    brief: 'Print only ids, addresses or tokens',
    default: false,
    withNegated: false,
  },
  raw: rawFlag,
} as const;

export const outputAliases = { q: 'quiet' } as const;

/** One result in its three forms. An empty string prints nothing. */
interface Output {
  readonly text: string;
  readonly json: unknown;
  readonly quiet: string;
}

/**
 * Returns the function that prints the result of a command. Call it before the command does
 * anything: contradicting options must have no effect.
 *
 * @throws UsageError for `--json` together with `--quiet`
 */
export function createPrinter(context: CliContext, flags: OutputFlags): (output: Output) => void {
  if (flags.json && flags.quiet) throw new UsageError('Use either --json or --quiet.');
  const select = (output: Output): string => {
    if (flags.json) return JSON.stringify(output.json, undefined, 2);
    return flags.quiet ? output.quiet : output.text;
  };
  return (output) => {
    const text = select(output);
    if (text === '') return;
    const { write, end } = createTextWriter(context.process.stdout, flags.raw);
    write(`${text}\n`);
    end();
  };
}

/** Formats rows as a table whose columns are separated by two spaces. */
export function alignColumns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows
    .map((row) => row.map((cell, column) => cell.padEnd(widths?.[column] ?? 0)).join('  '))
    .map((line) => line.trimEnd())
    .join('\n');
}
