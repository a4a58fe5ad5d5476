import { BootError } from '@ephemera/domain';
import {
  ArgumentScannerError,
  ExitCode,
  buildApplication,
  buildRouteMap,
  formatMessageForArgumentScannerError,
  help,
  run as runApplication,
  text_en,
  version,
  type Application,
  type ApplicationText,
  type RouteMap,
} from '@stricli/core';

import manifest from '../package.json' with { type: 'json' };
import { check } from './commands/check.ts';
import { clean } from './commands/clean.ts';
import { completion, PROPOSE, proposeWords } from './commands/completion.ts';
import { events } from './commands/events.ts';
import { exec } from './commands/exec.ts';
import { get, kill, ls, pause, renew, resume } from './commands/show.ts';
import { host } from './commands/host.ts';
import { link } from './commands/link.ts';
import { logs } from './commands/logs.ts';
import { name } from './commands/name.ts';
import { open } from './commands/open.ts';
import { run } from './commands/run.ts';
import { token } from './commands/token.ts';
import { tryCommand } from './commands/try.ts';
import { up } from './commands/up.ts';
import { stats, templates } from './commands/usage.ts';
import { UsageError, type CliContext } from './context.ts';
import { EXIT_CODES } from './exit-codes.ts';
import { visible } from './terminal/visible.ts';

const NAME = 'ephemera';

const FORMATTING = {
  caseStyle: 'convert-camel-to-kebab',
  onlyRequiredInUsageLine: false,
  useAliasInUsageLine: false,
} as const;

const root: RouteMap<CliContext> = buildRouteMap({
  routes: {
    ...{ up, run, ls, get, open, renew, pause, resume, logs, exec, stats, kill, link },
    ...{ templates, events, name, host, token, check, try: tryCommand, clean },
    completion,
  },
  docs: {
    brief: 'Ephemeral Docker containers behind a proxy',
    fullDescription: `Ephemeral Docker containers behind a proxy.

The commands use the control API at EPHEMERA_ADMIN_URL (http://127.0.0.1:8081) with the token in
EPHEMERA_ADMIN_TOKEN, or with the token that the last "ephemera up" created.

EXIT CODES
${Object.values(EXIT_CODES)
  .map(({ code, meaning }) => `  ${String(code).padEnd(4)} ${meaning}`)
  .join('\n')}`,
  },
});

const text: ApplicationText = {
  ...text_en,
  noCommandRegisteredForInput: ({ input, corrections }) => {
    if (input.startsWith('-')) {
      return `There is no option "${visible(input)}" before a command. Did you mean "--help" or "--version"?`;
    }
    return `There is no command "${visible(input)}".${didYouMean(corrections)}`;
  },
  exceptionWhileParsingArguments: (error) => {
    if (!(error instanceof ArgumentScannerError)) return visible(describe(error));
    const message = formatMessageForArgumentScannerError(error, {
      FlagNotFoundError: ({ input, corrections }) =>
        `There is no option "${input.startsWith('-') ? input : `--${input}`}".${didYouMean(corrections.map((name) => `--${name.replace(/^--/, '')}`))}`,
      AliasNotFoundError: ({ input }) => `There is no option "-${input.replace(/^-/, '')}".`,
      // A parser refuses a value by an `Error`; one of its subclasses is a bug.
      ArgumentParseError: ({ exception }) =>
        exception instanceof Error && exception.name === 'Error'
          ? exception.message
          : describe(exception),
      EnumValidationError: ({ externalFlagName, input, values }) =>
        `--${externalFlagName.replace(/^--/, '')} is "${input}"; it must be one of ${values.join(', ')}.`,
      UnsatisfiedFlagError: ({ externalFlagName }) =>
        `--${externalFlagName.replace(/^--/, '')} is missing or has no value.`,
      UnsatisfiedPositionalError: ({ placeholder }) => `The argument <${placeholder}> is missing.`,
      UnexpectedPositionalError: ({ input }) => `The argument "${input}" is one too many.`,
      UnexpectedFlagError: ({ externalFlagName }) =>
        `--${externalFlagName.replace(/^--/, '')} is given twice.`,
    });
    return visible(message);
  },
  exceptionWhileRunningCommand: (error) => visible(describe(error)),
};

const app: Application<CliContext> = buildApplication(
  root,
  {
    name: NAME,
    scanner: { caseStyle: 'allow-kebab-for-camel', allowArgumentEscapeSequence: true },
    localization: { text },
    determineExitCode: (error) =>
      error instanceof UsageError ? EXIT_CODES.usage.code : EXIT_CODES.failed.code,
  },
  {
    help: help({ brief: 'Show this help', defaultForRouteMap: true, formatting: FORMATTING }),
    version: version({
      brief: 'Show the version',
      alias: false,
      info: { currentVersion: manifest.version },
    }),
  },
);

/**
 * Runs one command line.
 *
 * @param inputs the words after `ephemera`
 * @returns a code of EXIT_CODES, or the code that the command has set
 */
export async function runCli(inputs: readonly string[], context: CliContext): Promise<number> {
  if (inputs[0] === PROPOSE) {
    const words = await proposeWords(app, inputs.slice(1), context);
    context.process.stdout.write(words.map((word) => `${visible(word)}\n`).join(''));
    return EXIT_CODES.ok.code;
  }
  const line = inputs[0] === 'help' ? [...inputs.slice(1), '--help'] : inputs;
  await runApplication(app, line, context);
  const code = Number(context.process.exitCode);
  if (isUsage(code)) {
    const command = [NAME, ...routeOf(line)].join(' ');
    context.process.stderr.write(`See: ${command} --help\n`);
    return EXIT_CODES.usage.code;
  }
  if (code !== 0) return EXIT_CODES.failed.code;
  return context.exitCode ?? EXIT_CODES.ok.code;
}

function isUsage(code: number): boolean {
  const codes: readonly number[] = [
    EXIT_CODES.usage.code,
    ExitCode.UnknownCommand,
    ExitCode.InvalidArgument,
  ];
  return codes.includes(code);
}

/** The words of a command line that name its command. */
function routeOf(inputs: readonly string[]): readonly string[] {
  let map: RouteMap<CliContext> = root;
  for (const [index, input] of inputs.entries()) {
    const target = map.getRoutingTargetForInput(input);
    if (target === undefined) return inputs.slice(0, index);
    if (!('getRoutingTargetForInput' in target)) return inputs.slice(0, index + 1);
    map = target;
  }
  return inputs;
}

function didYouMean(corrections: readonly string[]): string {
  if (corrections.length === 0) return '';
  return ` Did you mean ${corrections.map((word) => `"${word.replaceAll('`', '')}"`).join(' or ')}?`;
}

/** An expected error is its message, which may quote a response of the control API. Any other error is a bug and is shown with its stack. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error instanceof BootError ? error.message : (error.stack ?? error.message);
}
