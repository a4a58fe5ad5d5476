import { unwatchFile, watchFile } from 'node:fs';
import { ConfigError } from '../environment.ts';
import type { Logger } from '@ephemera/process';
import { loadTemplates, type TemplateSet } from '../template-config.ts';

/** The templates of the last valid version of the file. */
export interface Templates {
  readonly current: TemplateSet;
  /** Reads the file again. If it is invalid, the set is unchanged and the errors are logged. */
  reload(): void;
  /** The listener is called after every change of the set. */
  onChange(listener: () => void): void;
  close(): void;
}

/** Interval between checks of the file, ms. */
const POLL_INTERVAL_MS = 1_000;

/**
 * Reads the templates and watches their file: every second, and immediately on SIGHUP. The file is
 * polled by name. inotify follows the inode: it misses an editor that replaces the file, and does
 * not work through a bind mount.
 * Running instances keep the template that they were started with.
 *
 * @throws ConfigError if the file is invalid at the start
 */
export function watchTemplates(path: string, logger: Logger): Templates {
  let current = loadTemplates(path);
  const listeners: (() => void)[] = [];

  const reload = (): void => {
    try {
      current = loadTemplates(path);
      logger.info({ path, templates: [...current.templates.keys()] }, 'templates reloaded');
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      logger.error({ path, faults: error.faults }, 'invalid templates, keeping the previous ones');
      return;
    }
    for (const listener of listeners) listener();
  };

  watchFile(path, { interval: POLL_INTERVAL_MS, persistent: false }, reload);
  process.on('SIGHUP', reload);
  return {
    get current() {
      return current;
    },
    reload,
    onChange: (listener) => listeners.push(listener),
    close() {
      unwatchFile(path, reload);
      process.off('SIGHUP', reload);
    },
  };
}
