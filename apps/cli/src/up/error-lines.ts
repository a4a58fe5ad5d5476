const quietMs = 30_000;

/** Gives what of a log line deserves to be shown on the terminal, or undefined. */
export type ErrorLineFilter = (line: string) => string | undefined;

/**
 * Picks warnings and errors from a log of JSON lines. The same message is shown once in half a
 * minute: a Redis that is away is one piece of news, not one a second.
 */
export function createErrorLineFilter(now: () => number = Date.now): ErrorLineFilter {
  const shownAt = new Map<string, number>();
  return (line) => {
    const text = errorIn(line);
    if (text === undefined) return undefined;
    const before = shownAt.get(text);
    if (before !== undefined && now() - before < quietMs) return undefined;
    shownAt.set(text, now());
    return text;
  };
}

const shownLevels: readonly unknown[] = ['warn', 'error', 'fatal'];

function errorIn(line: string): string | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const { level, msg, err } = JSON.parse(line) as {
      level?: unknown;
      msg?: string;
      err?: { message?: string };
    };
    if (!shownLevels.includes(level)) return undefined;
    // A command that failed tells its whole script first, and what went wrong last.
    const cause = err?.message?.trim().split('\n').at(-1);
    return [msg, cause].filter(Boolean).join(': ');
  } catch {
    return undefined;
  }
}
