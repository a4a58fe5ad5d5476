import { ApiError } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { clientKeyOf } from './client-address.ts';

/** Invalid tokens that one client may send in one window. */
export const MAX_INVALID_TOKENS = 10;
/** Length of the window, seconds. It starts with the client's first invalid token. */
export const AUTH_WINDOW_SECONDS = 60;

/**
 * Counts invalid tokens per client: an IPv4 address or an IPv6 /64. All replicas and interfaces that
 * use the same Redis key share the count.
 */
export interface AuthThrottle {
  /** Seconds until this client may try again; undefined if it may try now. */
  isBlocked(address: string): Promise<number | undefined>;
  /**
   * Counts one invalid token. Returns the seconds until this client may try again if this token was
   * beyond the limit, so that guesses sent in parallel are limited too.
   */
  recordFailure(address: string): Promise<number | undefined>;
}

/**
 * Counts in Redis, and in the memory of this process while Redis is unavailable. A count expires
 * with its window only: no number of other clients resets it.
 * @param keyPrefix a key of the deployment; the client follows after a colon
 */
export function createAuthThrottle(redis: Redis, keyPrefix: string): AuthThrottle {
  const limit = { points: MAX_INVALID_TOKENS, duration: AUTH_WINDOW_SECONDS };
  const limiter = new RateLimiterRedis({
    ...limit,
    storeClient: redis,
    keyPrefix,
    rejectIfRedisNotReady: true,
    // A client that keeps guessing is refused from memory and costs Redis nothing.
    inMemoryBlockOnConsumed: MAX_INVALID_TOKENS + 1,
    insuranceLimiter: new RateLimiterMemory({ ...limit, keyPrefix }),
  });
  return {
    async isBlocked(address) {
      const state = await limiter.get(clientKeyOf(address));
      return state !== null && state.consumedPoints >= MAX_INVALID_TOKENS
        ? secondsOf(state)
        : undefined;
    },
    async recordFailure(address) {
      try {
        await limiter.consume(clientKeyOf(address));
        return undefined;
      } catch (error) {
        if (error instanceof RateLimiterRes) return secondsOf(error);
        throw error;
      }
    },
  };
}

/**
 * Identifies a presented token, within the client's limit of invalid ones. A blocked client is
 * refused whatever it sends; otherwise it would learn which of its guesses is valid.
 * @throws ApiError rate_limited, unauthorized
 */
export async function identifyThrottled<T>(
  throttle: AuthThrottle,
  address: string,
  identify: () => T | undefined,
): Promise<T> {
  const identified = identify();
  const resetsIn =
    identified === undefined
      ? await throttle.recordFailure(address)
      : await throttle.isBlocked(address);
  if (resetsIn !== undefined) throw new ApiError({ kind: 'rate_limited', by: 'address', resetsIn });
  if (identified === undefined) throw new ApiError({ kind: 'unauthorized' });
  return identified;
}

function secondsOf({ msBeforeNext }: RateLimiterRes): number {
  return Math.max(1, Math.ceil(msBeforeNext / 1000));
}
