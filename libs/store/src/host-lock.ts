import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';

const RELEASE = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`;

/**
 * A Redis that is out of memory cannot store the lock. The repairs free memory, so all workers go
 * on.
 */
function unlessMemoryFull(error: unknown): 'OK' {
  if (error instanceof Error && error.message.startsWith('OOM')) return 'OK';
  throw error;
}

/**
 * Runs `work` unless another worker of the host holds the lock at `key`; then returns undefined.
 * The lock only saves work. Every repair may run twice at the same time.
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
