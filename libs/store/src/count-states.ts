import type { State } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import { loadScript, runScript } from './run-script.ts';

const script = loadScript('count-states');

/** How many instances one script counts. Redis is blocked for about a millisecond meanwhile. */
const BATCH = 1_000;

/** Counts the live instances in each state. */
export async function countStates(
  redis: Redis,
  keys: Keys,
): Promise<Partial<Record<State, number>>> {
  const counts: Partial<Record<State, number>> = {};
  const ids = await redis.zrange(keys.instances, '0', '-1');
  for (let i = 0; i < ids.length; i += BATCH) {
    const batch = ids.slice(i, i + BATCH).map((id) => keys.instance(id));
    const flat = (await runScript(redis, script, batch, [])) as (State | number)[];
    for (let j = 0; j + 1 < flat.length; j += 2) {
      const state = flat[j] as State;
      counts[state] = (counts[state] ?? 0) + Number(flat[j + 1]);
    }
  }
  return counts;
}
