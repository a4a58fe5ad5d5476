import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { z } from 'zod';
import { ConfigError } from '../environment.ts';
import type { Logger } from '@ephemera/process';
import { readYaml } from '../yaml-text.ts';
import { type TokenEntries, tokensSchema } from './token-config.ts';

/** How often the file is looked at, ms. */
const POLL_INTERVAL_MS = 1_000;

const fileSchema = z.looseObject({ tokens: tokensSchema });

/** The tokens of a file, for who needs nothing else of it; kept up with as the templates are. */
export interface WatchedTokens {
  readonly current: TokenEntries;
  close(): void;
}

/**
 * Reads the tokens and keeps up with their file; none where there is no such file. A file that is
 * broken changes nothing.
 * @throws ConfigError where the file cannot be used at the start
 */
export function watchTokens(path: string, logger: Logger): WatchedTokens {
  let current = loadTokens(path);
  const reload = (): void => {
    try {
      current = loadTokens(path);
      logger.info({ path, tokens: Object.keys(current) }, 'tokens read again');
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      logger.error({ path, faults: error.faults }, 'tokens not usable, the last ones stay');
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
