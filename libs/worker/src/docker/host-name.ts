import { createHash } from 'node:crypto';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS, withDeadline } from './deadline.ts';

/**
 * The default host id of a daemon: the machine name and six hex digits of a hash of the daemon's
 * id. It is the same for all workers of the daemon and after every restart.
 */
export async function hostName(docker: Docker): Promise<string> {
  const info = (await withDeadline('info', DEFAULT_TIMEOUT_MS, docker.info())) as {
    Name: string;
    ID: string;
  };
  const name = info.Name.toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
  const suffix = createHash('sha256').update(info.ID).digest('hex').slice(0, 6);
  return `${name.slice(0, 40) || 'host'}-${suffix}`;
}
