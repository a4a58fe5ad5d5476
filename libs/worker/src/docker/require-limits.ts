import { BootError } from '@ephemera/domain';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS, withDeadline } from './deadline.ts';

/** What the daemon can bound, as it tells of itself, and what that is called in a template. */
const LIMIT_RANGES = {
  MemoryLimit: 'memory',
  CpuCfsQuota: 'cpus',
  CpuCfsPeriod: 'cpus',
  PidsLimit: 'pids',
} as const;

/**
 * A daemon that cannot set a limit, such as a rootless one to which a control group was not
 * delegated, starts the container without it and says so in a warning that nobody reads.
 * @throws BootError that names the limits
 */
export async function requireLimits(docker: Pick<Docker, 'info'>): Promise<void> {
  const info = (await withDeadline('info', DEFAULT_TIMEOUT_MS, docker.info())) as Record<
    string,
    unknown
  >;
  const missing = Object.entries(LIMIT_RANGES).filter(([name]) => info[name] === false);
  if (missing.length === 0) return;
  const limits = [...new Set(missing.map(([, limit]) => limit))].join(', ');
  throw new BootError(
    `The Docker daemon cannot limit ${limits}, so every instance would have all of this machine: its control groups lack the controllers (docker info shows them).`,
  );
}
