import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { isatty } from 'node:tty';
import { BootError } from '@ephemera/domain';
import type { CommandContext, StricliProcess } from '@stricli/core';

import { createAdminApi, type AdminApi } from './admin-api.ts';
import { inherited, readConfig, type Config } from './config.ts';
import { readSecret } from './state-folder.ts';

/** What every command receives as `this`. Tests replace single parts. */
export interface CliContext extends CommandContext {
  readonly process: StricliProcess;
  /** @throws ConfigError that lists every invalid setting */
  readonly config: () => Config;
  /** A client of the control API that EPHEMERA_ADMIN_URL names. */
  readonly api: () => AdminApi;
  /** The environment of the command. */
  readonly environment: NodeJS.ProcessEnv;
  /** The standard input, unless it is a terminal: then no command reads it. */
  readonly stdin?: () => Readable | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Waits for a number of milliseconds. */
  readonly sleep: (ms: number) => Promise<unknown>;
  /** Set by a command that ends with a code of its own, such as that of a program it ran. */
  exitCode?: number;
}

/** The values of a command line contradict each other. The command ends with the code for usage. */
export class UsageError extends BootError {
  override readonly name = 'UsageError';
}

export function createContext(process: StricliProcess, stdin?: () => Readable): CliContext {
  return {
    process,
    config: () => readConfig(),
    api: () => {
      const { adminUrl, adminToken, stateFolder } = readConfig();
      return createAdminApi(adminUrl, adminToken ?? readSecret(stateFolder, 'admin-token'));
    },
    environment: inherited,
    stdin: () => (isatty(0) ? undefined : stdin?.()),
    now: () => Date.now(),
    sleep,
  };
}
