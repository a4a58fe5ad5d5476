import type { Logger } from '@ephemera/runtime';
import type { KeptLogs } from '@ephemera/store';
import type Docker from 'dockerode';
import { readLines } from './read-log.ts';

/** How many of the last lines are looked at. */
const LINES = 500;

/** Keeps the last that a container wrote, before it is removed; a kill never fails by it. */
export function keepLog(kept: KeptLogs, logger: Logger) {
  return async (id: string, container: Docker.Container): Promise<void> => {
    try {
      await kept.keep(id, (await readLines(container, { tail: LINES })) ?? []);
    } catch (error) {
      logger.warn({ err: error, id }, 'log not kept');
    }
  };
}
