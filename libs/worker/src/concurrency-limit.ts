import type { Containers } from '@ephemera/lifecycle';
import PQueue from 'p-queue';

/**
 * Runs calls in order, up to a maximum concurrency. Calls with `last` run when no other call waits.
 */
export type ConcurrencyLimit = <T>(work: () => Promise<T>, last?: 'last') => Promise<T>;

export function limitConcurrency(max: number): ConcurrencyLimit {
  const queue = new PQueue({ concurrency: max });
  return (work, last) => queue.add(work, { priority: last ? -1 : 0 });
}

/** Limits the number of concurrent instance removals to `max`. */
export function withRemovalLimit(containers: Containers, max: number): Containers {
  const limit = limitConcurrency(max);
  return {
    ...containers,
    removeInstance: (id, grace) => limit(() => containers.removeInstance(id, grace)),
  };
}
