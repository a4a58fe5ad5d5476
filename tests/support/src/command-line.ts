/** The command lines of the suites: options, scenario names, `--help`, and error messages. */
import { parseArgs } from 'node:util';

/** One option of a command. */
export type OptionSpec =
  /** A number of at least 0. */
  | { readonly kind: 'number'; readonly help: string; readonly default?: number }
  | { readonly kind: 'flag'; readonly help: string }
  /** One or more names, separated by commas; the option may also be repeated. */
  | { readonly kind: 'list'; readonly help: string; readonly of: readonly string[] }
  | { readonly kind: 'choice'; readonly help: string; readonly of: readonly string[] }
  /** Any text; the command checks it. */
  | { readonly kind: 'text'; readonly help: string };

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

type ValueOf<Spec extends OptionSpec> = Spec extends { kind: 'number' }
  ? Spec extends { default: number }
    ? number
    : number | undefined
  : Spec extends { kind: 'flag' }
    ? boolean
    : Spec extends { kind: 'list' }
      ? readonly string[]
      : string | undefined;

/** The value of each option: an empty list, `false` or undefined if the option is absent. */
export type OptionValues<Specs extends OptionSpecs> = {
  readonly [Name in keyof Specs]: ValueOf<Specs[Name]>;
};

export interface CommandSpec<Specs extends OptionSpecs> {
  /** How to call the command, such as `npm run soak --`. */
  readonly command: string;
  /** What the command does, in one or two sentences. */
  readonly summary: string;
  /** The names that can be given, each with a description; absent if the command takes none. */
  readonly scenarios?: Readonly<Record<string, string>>;
  readonly options: Specs;
}

export type CommandLine<Specs extends OptionSpecs> =
  | {
      readonly kind: 'run';
      /** The given scenarios; all of them if none was given. */
      readonly names: readonly string[];
      readonly values: OptionValues<Specs>;
    }
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'error'; readonly text: string };

/** Parses the arguments of a program. Never throws for invalid input. */
export function parseCommandLine<const Specs extends OptionSpecs>(
  spec: CommandSpec<Specs>,
  args: readonly string[],
): CommandLine<Specs> {
  const { options, scenarios = {}, command } = spec;
  const config = Object.entries(options).map(([name, { kind }]) => {
    const type = kind === 'flag' ? ('boolean' as const) : ('string' as const);
    return [name, { type, multiple: kind === 'list' }] as const;
  });
  try {
    const parsed = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { ...Object.fromEntries(config), help: { type: 'boolean', short: 'h' } },
    });
    const { positionals } = parsed;
    const values: Readonly<Record<string, unknown>> = parsed.values;
    if (values['help'] === true) return { kind: 'help', text: helpOf(spec) };
    const known = Object.keys(scenarios);
    for (const name of positionals) {
      if (known.includes(name)) continue;
      throw new UsageError(
        known.length === 0
          ? `unexpected argument: ${name}`
          : `unknown scenario: ${name}\nThe scenarios are: ${known.join(', ')}.`,
      );
    }
    const read = Object.entries(options).map(([name, option]) => [
      name,
      readValue(name, option, values[name]),
    ]);
    return {
      kind: 'run',
      names: positionals.length > 0 ? positionals : known,
      values: Object.fromEntries(read) as OptionValues<Specs>,
    };
  } catch (error) {
    const text = messageOf(error, Object.keys(options));
    if (text === undefined) throw error;
    return { kind: 'error', text: `${text}\nSee: ${command} --help\n` };
  }
}

/**
 * Parses the arguments of this process. For `--help`, prints the help and exits with code 0. For
 * invalid input, prints the error to stderr and exits with code 2.
 */
export function readCommandLine<const Specs extends OptionSpecs>(
  spec: CommandSpec<Specs>,
): Extract<CommandLine<Specs>, { kind: 'run' }> {
  const parsed = parseCommandLine(spec, process.argv.slice(2));
  if (parsed.kind === 'run') return parsed;
  if (parsed.kind === 'error') exitWithUsage(parsed.text);
  process.stdout.write(parsed.text);
  process.exit(0);
}

/** Exits with code 2 for an invalid command line. */
export function exitWithUsage(message: string): never {
  process.stderr.write(message.endsWith('\n') ? message : `${message}\n`);
  process.exit(2);
}

class UsageError extends Error {}

function readValue(name: string, option: OptionSpec, value: unknown): unknown {
  switch (option.kind) {
    case 'flag':
      return value === true;
    case 'number': {
      if (value === undefined) return option.default;
      const number = Number(value);
      if (value !== '' && Number.isFinite(number) && number >= 0) return number;
      throw new UsageError(
        `--${name} must be a number of at least 0, not ${JSON.stringify(value)}.`,
      );
    }
    case 'text':
      return value;
    case 'choice':
      if (value === undefined || option.of.includes(value as string)) return value;
      throw unknownValue(name, value as string, option.of);
    case 'list': {
      const input = (value ?? []) as readonly string[];
      // A name may contain a comma, so the whole text is compared before its parts.
      const names = input.flatMap((text) => (option.of.includes(text) ? [text] : text.split(',')));
      const unknown = names.find((text) => !option.of.includes(text));
      if (unknown !== undefined) throw unknownValue(name, unknown, option.of);
      return names;
    }
  }
}

function unknownValue(name: string, value: string, of: readonly string[]): UsageError {
  const known = of.map((text) => (/[ ,]/.test(text) ? JSON.stringify(text) : text));
  return new UsageError(
    `unknown value of --${name}: ${value}\nThe values are: ${known.join(', ')}.`,
  );
}

/** Returns the message for a usage error; undefined if the error is a bug. */
function messageOf(error: unknown, names: readonly string[]): string | undefined {
  if (error instanceof UsageError) return error.message;
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  if (!String(error.code).startsWith('ERR_PARSE_ARGS')) return undefined;
  const [sentence = ''] = error.message.split('. ');
  const all = [...names, 'help'].map((name) => `--${name}`);
  return `${sentence.replace(/\.$/, '')}.\nThe options are: ${all.join(', ')}.`;
}

function helpOf<Specs extends OptionSpecs>(spec: CommandSpec<Specs>): string {
  const { command, summary, scenarios, options } = spec;
  const rows = Object.entries(options).map(([name, option]) => {
    const shown = option.kind === 'flag' ? `--${name}` : `--${name} ${PLACEHOLDERS[option.kind]}`;
    return [shown, textOf(option)] as const;
  });
  const lines = [
    `Usage: ${command}${scenarios ? ' [SCENARIO…]' : ''} [OPTIONS]`,
    '',
    summary,
    ...(scenarios ? ['', 'Scenarios (all where none is named):', ...table(scenarios)] : []),
    '',
    'Options:',
    ...table(Object.fromEntries([...rows, ['--help', 'Prints this text.']])),
  ];
  return `${lines.join('\n')}\n`;
}

const PLACEHOLDERS = { number: 'N', list: 'NAMES', choice: 'NAME', text: 'TEXT' } as const;

function textOf(option: OptionSpec): string {
  if (option.kind === 'number' && option.default !== undefined) {
    return `${option.help} Default: ${option.default}.`;
  }
  if (option.kind === 'list' || option.kind === 'choice') {
    return `${option.help} One of: ${option.of.join('; ')}.`;
  }
  return option.help;
}

function table(rows: Readonly<Record<string, string>>): string[] {
  const width = Math.max(...Object.keys(rows).map((name) => name.length));
  return Object.entries(rows).map(([name, text]) => `  ${name.padEnd(width)}  ${text}`);
}
