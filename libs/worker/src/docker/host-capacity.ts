import type { Capacity } from '@ephemera/domain';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS, withDeadline } from './deadline.ts';

/** How much of a machine's memory instances may have, unless it is said: the rest is its own. */
const MEMORY_FRACTION = 0.8;

/**
 * What this host offers: as configured, and of memory a share of what the daemon has. CPUs are
 * shared by the kernel, so they are bounded only where that is asked for.
 */
export async function hostCapacity(docker: Docker, input: Capacity): Promise<Capacity> {
  if (input.memory !== undefined) return input;
  const info = (await withDeadline('info', DEFAULT_TIMEOUT_MS, docker.info())) as {
    MemTotal?: number;
  };
  const total = info.MemTotal ?? 0;
  return { ...input, memory: total > 0 ? Math.floor(total * MEMORY_FRACTION) : undefined };
}

/** What a host offers while its networks hold only `most` instances. */
export function withinNetworks(capacity: Capacity, max: number | undefined): Capacity {
  if (max === undefined) return capacity;
  return { ...capacity, instances: Math.min(capacity.instances ?? max, max) };
}
