import type { Logger } from '@ephemera/process';
import type { LogArchive } from '@ephemera/store';
import type Docker from 'dockerode';
import { withDeadline } from './deadline.ts';
import { readLines } from './read-log.ts';

/** How many of the last lines are looked at. */
const LINES = 500;

/** How long a container that is to go may wait for its log to be kept, milliseconds. */
const TIMEOUT_MS = 2_000;

/** Keeps the last that a container wrote, before it is removed; a kill never fails by it. */
export function archiveLog(kept: LogArchive, logger: Logger) {
  return async (id: string, container: Docker.Container): Promise<void> => {
    try {
      const lines = (await readLines(container, { tail: LINES })) ?? [];
      // Without a Redis it would wait for one.
      await withDeadline('log', TIMEOUT_MS, kept.save(id, lines));
    } catch (error) {
      logger.warn({ err: error, id }, 'log not kept');
    }
  };
}
