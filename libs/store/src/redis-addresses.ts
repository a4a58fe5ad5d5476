import type { Addresses } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';

/** The part of a host's network that its instances take addresses from. */
export interface AddressRange {
  /** First address, as a number. */
  readonly first: number;
  readonly count: number;
}

/**
 * Walks a host's whole range before it gives an address again, across all workers and restarts:
 * Docker itself would give the lowest free address to the next container at once, and a stale
 * route or a pooled socket would then reach a stranger.
 */
export function redisAddresses(
  redis: Redis,
  keys: Keys,
  host: string,
  range: AddressRange,
): Addresses {
  return {
    async next() {
      const turn = await redis.incr(keys.addresses(host));
      return dotted(range.first + (turn % range.count));
    },
  };
}

function dotted(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}
