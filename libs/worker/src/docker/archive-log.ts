import type { Logger } from '@ephemera/process';
import type { LogArchive } from '@ephemera/store';
import type Docker from 'dockerode';
import { withDeadline } from './deadline.ts';
import { readLines } from './read-log.ts';

/** Maximum number of archived lines. */
const MAX_LINES = 500;

/** Maximum delay of a removal by the archive, milliseconds. */
const TIMEOUT_MS = 2_000;

/**
 * Archives the last lines of a container's log before its removal. A failure is logged and does not
 * fail the kill.
 */
export function archiveLog(archive: LogArchive, logger: Logger) {
  return async (id: string, container: Docker.Container): Promise<void> => {
    try {
      const lines = (await readLines(container, { tail: MAX_LINES })) ?? [];
      // Without a deadline, it would wait while Redis is unavailable.
      await withDeadline('log', TIMEOUT_MS, archive.save(id, lines));
    } catch (error) {
      logger.warn({ err: error, id }, 'log not archived');
    }
  };
}
