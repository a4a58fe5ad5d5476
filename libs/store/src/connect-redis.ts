import { Redis } from 'ioredis';

/**
 * `request`: fails at once while Redis is away, for whoever answers a visitor.
 * `job`: waits for Redis, for whoever works off a queue.
 */
export type Patience = 'request' | 'job';

/** A connection that keeps reconnecting (at most 500 ms apart); `onError` hears of each failure. */
export function connectRedis(
  url: string,
  patience: Patience,
  onError: (error: Error) => void,
): Redis {
  const redis = new Redis(url, {
    retryStrategy: (attempt) => Math.min(50 * attempt, 500),
    enableReadyCheck: true,
    ...(patience === 'request'
      ? { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2_000 }
      : { maxRetriesPerRequest: null }),
  });
  redis.on('error', onError);
  return redis;
}
