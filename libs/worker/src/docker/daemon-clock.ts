import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS, withDeadline } from './deadline.ts';

/**
 * How far the daemon's clock is ahead of the store's, milliseconds: times that the daemon gives
 * mean nothing beside a deadline before that is taken off. What the asking took is in the figure
 * in such a way that a container looks younger by it, never older.
 */
export async function daemonClockSkew(docker: Docker, now: () => Promise<number>): Promise<number> {
  const { SystemTime } = (await withDeadline('info', DEFAULT_TIMEOUT_MS, docker.info())) as {
    SystemTime?: string;
  };
  const shown = Date.parse(SystemTime ?? '');
  return Number.isNaN(shown) ? 0 : shown - (await now());
}
