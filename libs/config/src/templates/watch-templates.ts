import { unwatchFile, watchFile } from 'node:fs';
import { ConfigError } from '../environment.ts';
import type { Logger } from '@ephemera/process';
import { loadTemplates, type TemplateSet } from '../template-config.ts';

/** The templates as the file has them now, or last had them right. */
export interface Templates {
  readonly current: TemplateSet;
  /** Reads the file again; where it is broken the set stays, and the log tells every fault. */
  reload(): void;
  /** Hears of every set that takes the place of another. */
  onChange(listener: () => void): void;
  close(): void;
}

/** How often the file is looked at, ms. */
const POLL_INTERVAL_MS = 1_000;

/**
 * Reads the templates and keeps up with their file: it is looked at every second, and at once on
 * SIGHUP. It is looked at by its name, since notices of change follow what the name once stood
 * for: they are lost where an editor replaces the file, and never come through a bind mount.
 * Instances that run keep the template that they were started from.
 *
 * @throws ConfigError where the file cannot be used at the start
 */
export function watchTemplates(path: string, logger: Logger): Templates {
  let current = loadTemplates(path);
  const listeners: (() => void)[] = [];

  const reload = (): void => {
    try {
      current = loadTemplates(path);
      logger.info({ path, templates: [...current.templates.keys()] }, 'templates read again');
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      logger.error({ path, faults: error.faults }, 'templates not usable, the last ones stay');
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
