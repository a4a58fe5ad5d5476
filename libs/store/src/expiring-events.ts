import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import { loadScript, runScript } from './run-script.ts';

const expiringScript = loadScript('expiring');

/** How many `expiring` events one call emits at most. */
const BATCH = 500;

/**
 * Emits the `expiring` event of every instance whose notice is due, once per deadline even if
 * several workers call this at the same time.
 * @param now on the store's clock
 * @returns how many events were emitted
 */
export async function emitExpiringEvents(redis: Redis, keys: Keys, now: number): Promise<number> {
  const due = ['-inf', String(now), 'BYSCORE', 'LIMIT', 0, BATCH] as const;
  let reported = 0;
  for (const id of await redis.zrange(keys.expiring, ...due)) {
    const warned = [keys.instance(id), keys.expiring, keys.events];
    reported += Number(await runScript(redis, expiringScript, warned, [id]));
  }
  return reported;
}
