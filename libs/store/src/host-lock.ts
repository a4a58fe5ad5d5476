import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';

const RELEASE = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`;

/** Where Redis has no memory for the lock, what is to be repaired would free some: all go on. */
function unlessMemoryFull(error: unknown): 'OK' {
  if (error instanceof Error && error.message.startsWith('OOM')) return 'OK';
  throw error;
}

/**
 * Runs `work` where no other worker of the host holds the lock at `key`; gives undefined where one
 * does. The lock only spares double work, it guards nothing: every repair may run twice at once.
 */
export async function withHostLock<T>(
  redis: Redis,
  key: string,
  ttl: number,
  work: () => Promise<T>,
): Promise<T | undefined> {
  const token = randomUUID();
  const taken = await redis.set(key, token, 'PX', ttl, 'NX').catch(unlessMemoryFull);
  if (taken !== 'OK') return undefined;
  try {
    return await work();
  } finally {
    await redis.eval(RELEASE, 1, key, token);
  }
}
