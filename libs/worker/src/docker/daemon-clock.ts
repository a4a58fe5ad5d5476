import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS, withDeadline } from './deadline.ts';

/**
 * Daemon clock minus store clock, milliseconds. Times from the daemon must be corrected by it
 * before a comparison with a deadline. The latency of the calls makes a container look younger,
 * never older.
 */
export async function daemonClockSkew(docker: Docker, now: () => Promise<number>): Promise<number> {
  const { SystemTime } = (await withDeadline('info', DEFAULT_TIMEOUT_MS, docker.info())) as {
    SystemTime?: string;
  };
  const systemTime = Date.parse(SystemTime ?? '');
  return Number.isNaN(systemTime) ? 0 : systemTime - (await now());
}
