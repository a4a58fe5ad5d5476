import { startRedis } from '@ephemera/test-support';
import type { StartedRedis } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { afterAll } from 'vitest';

/** One Redis server for all tests of the calling file, and a connection to it. */
export async function openRedis(): Promise<{ server: StartedRedis; redis: Redis }> {
  const server = await startRedis();
  const redis = new Redis(server.url);
  afterAll(async () => {
    redis.disconnect();
    await server.stop();
  });
  return { server, redis };
}
