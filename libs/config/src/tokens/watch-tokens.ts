import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { z } from 'zod';
import { ConfigError } from '../environment.ts';
import type { Logger } from '@ephemera/process';
import { readYaml } from '../yaml-text.ts';
import { type TokenEntries, tokensSchema } from './token-config.ts';

/** Interval between checks of the file, ms. */
const POLL_INTERVAL_MS = 1_000;

const fileSchema = z.looseObject({ tokens: tokensSchema });

/** The current tokens of a file, for an app that does not need the templates. */
export interface WatchedTokens {
  readonly current: TokenEntries;
  close(): void;
}

/**
 * Reads the tokens and watches their file, as `watchTemplates` does. Without a file there are no
 * tokens. An invalid file changes nothing.
 * @throws ConfigError if the file is invalid at the start
 */
export function watchTokens(path: string, logger: Logger): WatchedTokens {
  let current = loadTokens(path);
  const reload = (): void => {
    try {
      current = loadTokens(path);
      logger.info({ path, tokens: Object.keys(current) }, 'tokens reloaded');
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      logger.error({ path, faults: error.faults }, 'invalid tokens, keeping the previous ones');
    }
  };
  watchFile(path, { interval: POLL_INTERVAL_MS, persistent: false }, reload);
  process.on('SIGHUP', reload);
  return {
    get current() {
      return current;
    },
    close() {
      unwatchFile(path, reload);
      process.off('SIGHUP', reload);
    },
  };
}

function loadTokens(path: string): TokenEntries {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    if (code === 'ENOENT') return {};
    throw new ConfigError(path, [{ path: '', detail: `cannot be read (${code})` }]);
  }
  return readYaml(text, fileSchema, path).tokens;
}
