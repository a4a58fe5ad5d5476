import { availableParallelism } from 'node:os';

const last = availableParallelism() - 1;

/**
 * Which core does what. A contender has one to itself; with only two, wrk and the upstreams share
 * the other, and a second replica runs there too.
 */
export const CORES = {
  contender: 0,
  second: last,
  load: Math.min(1, last),
  upstream: last > 2 ? 2 : Math.min(1, last),
} as const;

/** Whether two replicas leave cores for the load and the upstreams. */
export const HAS_SPARE_CORES = last > 2;
