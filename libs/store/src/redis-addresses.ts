import type { Addresses } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import { loadScript, runScript } from './run-script.ts';

const script = loadScript('next-address-index');

/**
 * Walks on over a host's addresses, across all workers and restarts: Docker itself would give the
 * lowest free address to the next container at once, and a stale route or a pooled socket would
 * then reach a stranger. A Redis that has lost where the walk was is told by who remembers.
 */
export function redisAddresses(redis: Redis, keys: Keys, host: string): Addresses {
  let last = 0;
  return {
    async next() {
      const turn = await runScript(redis, script, [keys.addresses(host)], [last]);
      last = Math.max(last, Number(turn));
      return Number(turn);
    },
  };
}
