import { parseArgs, type ParseArgsConfig } from 'node:util';

import { BootError } from '@ephemera/domain';

/** `parseArgs`, with its complaints as one line for the user. */
export function readArguments<T extends ParseArgsConfig>(
  config: T,
): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    throw new BootError(`${(error as Error).message} See: ephemera --help`);
  }
}
