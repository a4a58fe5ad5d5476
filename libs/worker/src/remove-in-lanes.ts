import type { Containers } from '@ephemera/lifecycle';
import { inLanes } from './in-lanes.ts';

/** Containers of which so many instances are removed at once at most. */
export function removeInLanes(containers: Containers, lanes: number): Containers {
  const through = inLanes(lanes);
  return {
    ...containers,
    removeInstance: (id, grace) => through(() => containers.removeInstance(id, grace)),
  };
}
