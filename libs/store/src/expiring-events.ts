import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import { loadScript, runScript } from './run-script.ts';

const expiringScript = loadScript('expiring');

/** How many deadlines are told of in one round. */
const BATCH = 500;

/**
 * Tells of every deadline that has come near, each once, however many workers do this at once.
 * Gives how many were told; `now` is on the store's clock.
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
