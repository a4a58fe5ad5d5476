import type { Addresses } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';

/**
 * Walks on over a host's addresses, across all workers and restarts: Docker itself would give the
 * lowest free address to the next container at once, and a stale route or a pooled socket would
 * then reach a stranger.
 */
export function redisAddresses(redis: Redis, keys: Keys, host: string): Addresses {
  return { next: () => redis.incr(keys.addresses(host)) };
}
