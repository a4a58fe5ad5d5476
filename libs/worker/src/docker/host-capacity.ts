import type { Capacity } from '@ephemera/domain';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS, withDeadline } from './deadline.ts';

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
