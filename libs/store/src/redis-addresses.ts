import type { Addresses } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import { loadScript, runScript } from './run-script.ts';

const script = loadScript('next-address-index');

/**
 * Assigns a host's addresses in sequence, across all workers and restarts. Docker alone would reuse
 * the lowest free address at once; a stale route or a pooled socket would then reach another
 * instance. If Redis has lost the counter, the worker continues after the last index that it
 * received.
 */
export function redisAddresses(redis: Redis, keys: Keys, host: string): Addresses {
  let last = 0;
  return {
    async next() {
      const index = await runScript(redis, script, [keys.addresses(host)], [last]);
      last = Math.max(last, Number(index));
      return Number(index);
    },
  };
}
