import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Logger } from '@ephemera/process';
import { ConfigError } from './environment.ts';
import type { ConfigIssue } from './environment.ts';
import { parseTemplates } from './template-config.ts';
import type { TemplateSet } from './template-config.ts';

/** What an app uses of the last valid version of the configuration file. */
export interface WatchedConfig<T> {
  readonly current: T;
  /** The errors of the present file. If there are any, `current` is from an earlier version. */
  readonly issues: readonly ConfigIssue[];
  /** Reads the file again at once. If it is invalid, `current` is unchanged. */
  reload(): void;
  /** The listener is called after every change of `current`. */
  onChange(listener: () => void): void;
  close(): void;
}

/** Interval between reads of the file, ms. A new content is used when two reads agree. */
const POLL_INTERVAL_MS = 500;

/** The file at one moment. */
type Content = { readonly text: string } | { readonly error: string };

/**
 * Reads the configuration file and watches it: twice a second, and immediately on SIGHUP. Every app
 * validates the whole file, so that an error in any part leaves the previous version in force in
 * all of them.
 *
 * The content is polled by name. inotify follows the inode: it misses an editor that replaces the
 * file, a symbolic link that changes its target, and changes behind a bind mount. A file that
 * disappears counts as an error.
 *
 * @param use returns what the app needs of the file. Its argument is undefined if the file does not
 *   exist at the start. It may throw ConfigError to refuse the file.
 * @throws ConfigError if the file is invalid at the start
 */
export function watchConfig<T>(
  path: string,
  logger: Logger,
  use: (file: TemplateSet | undefined) => T,
): WatchedConfig<T> {
  let applied = readNow(path);
  let current = 'error' in applied && applied.error === 'ENOENT' ? use(undefined) : read(applied);
  let issues: readonly ConfigIssue[] = [];
  const listeners: (() => void)[] = [];

  function read(content: Content): T {
    if ('text' in content) return use(parseTemplates(content.text, path));
    throw new ConfigError(path, [{ path: '', detail: `cannot be read (${content.error})` }]);
  }

  function apply(content: Content): void {
    applied = content;
    try {
      current = read(content);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      issues = error.faults;
      logger.error(
        { path, faults: issues },
        'configuration not reloaded, keeping the previous one',
      );
      return;
    }
    issues = [];
    logger.info({ path }, 'configuration reloaded');
    for (const listener of listeners) listener();
  }

  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;
  let seen = applied;
  const poll = async (): Promise<void> => {
    const content = await readLater(path);
    if (isClosed) return;
    // A file that is being written is applied only once its content stays the same.
    const isSettled = isSame(content, seen);
    seen = content;
    if (isSettled && !isSame(content, applied)) apply(content);
    schedule();
  };
  const schedule = (): void => {
    timer = setTimeout(() => void poll(), POLL_INTERVAL_MS).unref();
  };
  schedule();

  const reload = (): void => apply(readNow(path));
  process.on('SIGHUP', reload);
  return {
    get current() {
      return current;
    },
    get issues() {
      return issues;
    },
    reload,
    onChange: (listener) => listeners.push(listener),
    close() {
      isClosed = true;
      clearTimeout(timer);
      process.off('SIGHUP', reload);
    },
  };
}

/**
 * For an app that cannot run without the file.
 * @throws ConfigError if the file does not exist
 */
export function requireFile(path: string, file: TemplateSet | undefined): TemplateSet {
  if (file) return file;
  throw new ConfigError(path, [{ path: '', detail: 'cannot be read (ENOENT)' }]);
}

function readNow(path: string): Content {
  try {
    return { text: readFileSync(path, 'utf8') };
  } catch (error) {
    return { error: codeOf(error) };
  }
}

/** Without blocking the event loop: the file may be on a slow network file system. */
async function readLater(path: string): Promise<Content> {
  return readFile(path, 'utf8').then(
    (text) => ({ text }),
    (error: unknown) => ({ error: codeOf(error) }),
  );
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown';
}

function isSame(a: Content, b: Content): boolean {
  if ('text' in a) return 'text' in b && a.text === b.text;
  return 'error' in b && a.error === b.error;
}
