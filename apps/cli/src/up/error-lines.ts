import { readFileSync } from 'node:fs';
import { issueText } from '@ephemera/config';
import type { ConfigIssue } from '@ephemera/config';

const quietMs = 30_000;

/** Returns the text to show on the terminal for a log line; undefined if it is not shown. */
export type ErrorLineFilter = (line: string) => string | undefined;

/**
 * Extracts warnings and errors from a log of JSON lines. The same message is shown once per half
 * minute, because an unavailable Redis logs one every second.
 */
export function createErrorLineFilter(now: () => number = Date.now): ErrorLineFilter {
  const ownShownAt = new Map<string, number>();
  return (line) => {
    const text = errorIn(line);
    if (text === undefined) return undefined;
    const shownAt = text.includes('\n') ? issuesShownAt : ownShownAt;
    const before = shownAt.get(text);
    if (before !== undefined && now() - before < quietMs) return undefined;
    shownAt.set(text, now());
    return text;
  };
}

/** Shared by all processes: they read the same configuration file. */
const issuesShownAt = new Map<string, number>();

const shownLevels: readonly unknown[] = ['warn', 'error', 'fatal'];

function errorIn(line: string): string | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const { level, msg, err, path, faults } = JSON.parse(line) as {
      level?: unknown;
      msg?: string;
      err?: { message?: string };
      path?: string;
      faults?: readonly ConfigIssue[];
    };
    if (!shownLevels.includes(level)) return undefined;
    if (faults) return [`${msg ?? ''}: ${path ?? ''}`, ...faults.map(indentedIssue)].join('\n');
    // The message of a failed command starts with the whole command. The cause is in the last line.
    const cause = err?.message?.trim().split('\n').at(-1);
    return [msg, cause].filter(Boolean).join(': ');
  } catch {
    return undefined;
  }
}

function indentedIssue(issue: ConfigIssue): string {
  return `      ${issueText(issue)}`;
}

/** Returns the end of a log file, indented; an empty text if the file does not exist. */
export function lastLines(file: string, count = 15): string {
  try {
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n').slice(-count);
    return lines.map((line) => `    ${line}`).join('\n');
  } catch {
    return '';
  }
}
