import type { State } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';

/** How many states are read in one round trip. */
const BATCH = 5_000;

/** How many of the live instances stand in each state. */
export async function countStates(
  redis: Redis,
  keys: Keys,
): Promise<Partial<Record<State, number>>> {
  const counts: Partial<Record<State, number>> = {};
  const ids = await redis.zrange(keys.instances, '0', '-1');
  for (let i = 0; i < ids.length; i += BATCH) {
    const pipeline = redis.pipeline();
    for (const id of ids.slice(i, i + BATCH)) pipeline.hget(keys.instance(id), 'state');
    for (const [error, reply] of (await pipeline.exec()) ?? []) {
      if (error) throw error;
      // One that was buried meanwhile and is forgotten already has none.
      const state = reply as State | null;
      if (state !== null) counts[state] = (counts[state] ?? 0) + 1;
    }
  }
  return counts;
}
