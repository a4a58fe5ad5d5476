import type { Capacity } from '@ephemera/domain';
import type Docker from 'dockerode';
import { QUICK, withDeadline } from './deadline.ts';

/** How much of a machine's memory instances may have, unless it is said: the rest is its own. */
const SHARE_OF_MEMORY = 0.8;

/**
 * What this host offers: as configured, and of memory a share of what the daemon has. CPUs are
 * shared by the kernel, so they are bounded only where that is asked for.
 */
export async function hostCapacity(docker: Docker, given: Capacity): Promise<Capacity> {
  if (given.memory !== undefined) return given;
  const info = (await withDeadline('info', QUICK, docker.info())) as { MemTotal?: number };
  const total = info.MemTotal ?? 0;
  return { ...given, memory: total > 0 ? Math.floor(total * SHARE_OF_MEMORY) : undefined };
}

/** What a host offers while its networks hold only `most` instances. */
export function withinNetworks(capacity: Capacity, most: number | undefined): Capacity {
  if (most === undefined) return capacity;
  return { ...capacity, instances: Math.min(capacity.instances ?? most, most) };
}
