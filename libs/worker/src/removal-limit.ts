import type { Containers } from '@ephemera/lifecycle';
import { limitConcurrency } from './concurrency-limit.ts';

/** Limits the number of concurrent instance removals to `max`. */
export function withRemovalLimit(containers: Containers, max: number): Containers {
  const limit = limitConcurrency(max);
  return {
    ...containers,
    removeInstance: (id, grace) => limit(() => containers.removeInstance(id, grace)),
  };
}
