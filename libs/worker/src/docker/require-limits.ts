import { StartError } from '@ephemera/domain';
import type Docker from 'dockerode';
import { QUICK, withDeadline } from './deadline.ts';

/** What the daemon can bound, as it tells of itself, and what that is called in a template. */
const BOUNDS = {
  MemoryLimit: 'memory',
  CpuCfsQuota: 'cpus',
  CpuCfsPeriod: 'cpus',
  PidsLimit: 'pids',
} as const;

/**
 * A daemon that cannot set a limit, such as a rootless one to which a control group was not
 * delegated, starts the container without it and says so in a warning that nobody reads.
 * @throws StartError that names the limits
 */
export async function requireLimits(docker: Pick<Docker, 'info'>): Promise<void> {
  const info = (await withDeadline('info', QUICK, docker.info())) as Record<string, unknown>;
  const missing = Object.entries(BOUNDS).filter(([name]) => info[name] === false);
  if (missing.length === 0) return;
  const limits = [...new Set(missing.map(([, limit]) => limit))].join(', ');
  throw new StartError(
    `The Docker daemon cannot limit ${limits}, so every instance would have all of this machine: its control groups lack the controllers (docker info shows them).`,
  );
}
