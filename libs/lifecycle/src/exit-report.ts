import { hintFor } from '@ephemera/domain';
import type { FailedRun, Hint, Template } from '@ephemera/domain';
import type { Containers } from './ports.ts';

/** Lines of the log in a failure message. */
const MESSAGE_LINES = 10;
/** Lines of the log in which the cause is looked for. */
const HINT_LINES = 100;
/**
 * Patterns are matched against this much of a line, characters. The output of an instance may be one
 * line of a megabyte, and must not occupy the worker.
 */
const MAX_HINT_LINE = 1_000;
/**
 * Maximum length of the log in a failure message, characters. Each log entry may have 16 KB, and
 * every reader of the instance receives the message.
 */
const MAX_LOG_CHARACTERS = 2_000;

export interface FailureReport {
  readonly message: string;
  readonly hint: Hint | undefined;
}

/** How a container exited. Undefined: it was removed. */
export type ExitStatus =
  { readonly oomKilled: boolean; readonly exitCode: number | undefined } | undefined;

/** The report on a container that exited: its status, its last lines and the probable cause. */
export function reportExit(
  containers: Pick<Containers, 'lastLines'>,
  containerId: string,
  exit: ExitStatus,
  template: Template,
): Promise<FailureReport> {
  const { exitCode = -1, oomKilled } = exit ?? {};
  return reportFailure(containers, containerId, exitMessage(exit), {
    exitCode,
    oomKilled,
    template,
  });
}

/** Adds the last lines of the log and the probable cause to a message. */
export async function reportFailure(
  containers: Pick<Containers, 'lastLines'>,
  containerId: string,
  text: string,
  run: Omit<FailedRun, 'log'>,
): Promise<FailureReport> {
  // Without its log, the end of an instance is still an end.
  const log = await containers.lastLines(containerId, HINT_LINES).catch(() => '');
  const all = plainText(log).split('\n');
  const lines = lastLines(log);
  return {
    message: lines === '' ? text : `${text} Its last lines:\n${lines}`,
    hint: hintFor({ ...run, log: all.map((line) => line.slice(0, MAX_HINT_LINE)) }),
  };
}

/** The end of a log as it is shown in the message of a failure: safe to show, and short. */
export function lastLines(log: string): string {
  const lines = log.trimEnd().split('\n').slice(-MESSAGE_LINES).join('\n');
  return plainText(lines).slice(-MAX_LOG_CHARACTERS).toWellFormed();
}

/** The message for a container that exited. */
export function exitMessage(exit: ExitStatus): string {
  if (exit?.oomKilled) return 'The container ran out of memory.';
  return `The container exited with code ${exit?.exitCode ?? '?'}.`;
}

/** Control characters except line feed and tab, and Unicode direction marks. */
const UNSEEN = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/**
 * Makes container output safe to show anywhere. On a terminal it must not run escape sequences or
 * change the reading order.
 */
export function plainText(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replace(UNSEEN, (character) =>
      character === '\n' || character === '\t' ? character : '\ufffd',
    );
}
