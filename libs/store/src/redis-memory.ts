import type { Redis } from 'ioredis';

/** The memory of a Redis server, bytes. */
export interface RedisMemory {
  /** Memory of its data. */
  readonly used: number;
  /** `maxmemory`, or the memory of the machine if there is no `maxmemory`. */
  readonly limit: number;
}

/** @throws Error if `INFO memory` lacks a field */
export async function readRedisMemory(redis: Redis): Promise<RedisMemory> {
  const info = await redis.info('memory');
  const field = (name: string): number => {
    const value = new RegExp(`^${name}:(\\d+)\r?$`, 'm').exec(info)?.[1];
    if (value === undefined) throw new Error(`INFO memory of Redis has no ${name}`);
    return Number(value);
  };
  return { used: field('used_memory'), limit: field('maxmemory') || field('total_system_memory') };
}
