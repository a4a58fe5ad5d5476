import type { Containers } from '@ephemera/lifecycle';
import { inLanes } from './in-lanes.ts';

/**
 * Containers of which so many are removed at once at most, whoever ends their instances; what waits
 * for its removal is withdrawn already.
 */
export function removeInLanes(containers: Containers, lanes: number): Containers {
  const through = inLanes(lanes);
  return {
    ...containers,
    removeInstance: (id, grace) => through(() => containers.removeInstance(id, grace)),
  };
}
