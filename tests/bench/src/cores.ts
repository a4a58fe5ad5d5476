import { availableParallelism } from 'node:os';

const last = availableParallelism() - 1;

/**
 * Assignment of the cores. A contender has its own core. On two cores, wrk, the upstreams and a
 * second replica share the other one.
 */
export const CORES = {
  contender: 0,
  second: last,
  load: Math.min(1, last),
  upstream: last > 2 ? 2 : Math.min(1, last),
} as const;

/** Whether two replicas leave cores for the load and the upstreams. */
export const HAS_SPARE_CORES = last > 2;
