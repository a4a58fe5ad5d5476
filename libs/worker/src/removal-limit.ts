import type { Containers } from '@ephemera/lifecycle';
import { limitConcurrency } from './concurrency-limit.ts';

/** Containers of which so many instances are removed at once at most. */
export function withRemovalLimit(containers: Containers, max: number): Containers {
  const through = limitConcurrency(max);
  return {
    ...containers,
    removeInstance: (id, grace) => through(() => containers.removeInstance(id, grace)),
  };
}
