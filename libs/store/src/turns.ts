import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';

/** Periodic work of the whole deployment, of which each worker is capable. */
export type SharedTask = 'start-queue' | 'dead-hosts' | 'unassigned';

/**
 * Takes the turn of a shared task, so that it runs once in `ms` however many workers there are. True:
 * the caller runs it. If the caller dies, another worker takes the next turn. The turn only saves work:
 * the task may run twice at the same time.
 */
export async function takeTurn(
  redis: Redis,
  keys: Keys,
  task: SharedTask,
  ms: number,
): Promise<boolean> {
  try {
    return (await redis.set(keys.turn(task), '1', 'PX', ms, 'NX')) === 'OK';
  } catch (error) {
    // A Redis that is out of memory cannot store the turn. The tasks free memory, so all workers go on.
    if (error instanceof Error && error.message.startsWith('OOM')) return true;
    throw error;
  }
}
