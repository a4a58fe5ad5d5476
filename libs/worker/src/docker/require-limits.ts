import { BootError } from '@ephemera/domain';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS, withDeadline } from './deadline.ts';

/** Fields of `docker info` for supported limits, with their names in a template. */
const LIMIT_SUPPORT = {
  MemoryLimit: 'memory',
  CpuCfsQuota: 'cpus',
  CpuCfsPeriod: 'cpus',
  PidsLimit: 'pids',
} as const;

/**
 * Checks that the daemon supports all limits. A daemon that does not, such as a rootless one
 * without delegated cgroups, ignores the limit and only returns a warning.
 * @throws BootError that names the limits
 */
export async function requireLimits(docker: Pick<Docker, 'info'>): Promise<void> {
  const info = (await withDeadline('info', DEFAULT_TIMEOUT_MS, docker.info())) as Record<
    string,
    unknown
  >;
  const missing = Object.entries(LIMIT_SUPPORT).filter(([name]) => info[name] === false);
  if (missing.length === 0) return;
  const limits = [...new Set(missing.map(([, limit]) => limit))].join(', ');
  throw new BootError(
    `The Docker daemon cannot limit ${limits}, so an instance could use all resources of this machine. Enable the cgroup controllers; \`docker info\` shows what is missing.`,
  );
}
