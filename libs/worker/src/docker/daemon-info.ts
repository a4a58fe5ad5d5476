import { createHash } from 'node:crypto';
import { BootError } from '@ephemera/domain';
import type { Capacity } from '@ephemera/domain';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS } from '../limits.ts';
import { withDeadline } from './docker-client.ts';

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

/** Default share of the machine's memory for instances. The rest is for the machine itself. */
const MEMORY_FRACTION = 0.8;

/**
 * The capacity of this host. Without a configured memory limit, it is a share of the daemon's
 * memory. The kernel shares CPUs, so they are limited only if configured.
 */
export async function hostCapacity(docker: Docker, input: Capacity): Promise<Capacity> {
  if (input.memory !== undefined) return input;
  const info = (await withDeadline('info', DEFAULT_TIMEOUT_MS, docker.info())) as {
    MemTotal?: number;
  };
  const total = info.MemTotal ?? 0;
  return { ...input, memory: total > 0 ? Math.floor(total * MEMORY_FRACTION) : undefined };
}

/** Reduces the capacity to the `max` instances that the networks of the host can hold. */
export function withinNetworks(capacity: Capacity, max: number | undefined): Capacity {
  if (max === undefined) return capacity;
  return { ...capacity, instances: Math.min(capacity.instances ?? max, max) };
}

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
