import type { Redis } from 'ioredis';
import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import type { Keys } from './keys.ts';

/** At most `points` requests in `seconds`. */
interface Rate {
  readonly points: number;
  readonly seconds: number;
}

/** What remains of a rate. */
export interface RateLeft {
  readonly allowed: boolean;
  readonly remaining: number;
  /** Seconds until the full rate is available again. */
  readonly resetsIn: number;
}

/** Rate limits, counted across all replicas. */
export interface Rates {
  /** Counts one request of a subject. Rejects while Redis is unavailable. */
  take(quotaSubject: string, rate: Rate): Promise<RateLeft>;
}

export function redisRates(redis: Redis, keys: Keys): Rates {
  const limiters = new Map<string, RateLimiterRedis>();
  const limiterOf = ({ points, seconds }: Rate): RateLimiterRedis => {
    // Each rate has its own counters. A replica with a changed rate does not shorten another's
    // window.
    const name = `${points}-${seconds}`;
    const known = limiters.get(name);
    if (known) return known;
    const made = new RateLimiterRedis({
      storeClient: redis,
      keyPrefix: keys.rate(name),
      points,
      duration: seconds,
      // A subject over its rate is refused from memory, so that a flood of refusals costs Redis
      // nothing.
      inMemoryBlockOnConsumed: points + 1,
    });
    limiters.set(name, made);
    return made;
  };
  return {
    async take(quotaSubject, rate) {
      try {
        const left = await limiterOf(rate).consume(quotaSubject);
        return { allowed: true, ...leftOf(left) };
      } catch (left) {
        if (left instanceof RateLimiterRes) return { allowed: false, ...leftOf(left) };
        throw left;
      }
    },
  };
}

function leftOf({ remainingPoints, msBeforeNext }: RateLimiterRes) {
  return {
    remaining: Math.max(0, remainingPoints),
    resetsIn: Math.max(1, Math.ceil(msBeforeNext / 1000)),
  };
}
