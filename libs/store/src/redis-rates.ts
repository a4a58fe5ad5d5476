import type { Redis } from 'ioredis';
import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import type { Keys } from './keys.ts';

/** So many in so many seconds. */
interface Rate {
  readonly points: number;
  readonly seconds: number;
}

/** What is left of a rate. */
export interface RateLeft {
  readonly allowed: boolean;
  readonly remaining: number;
  /** Seconds until it is whole again. */
  readonly resetsIn: number;
}

/** How often whom may ask; counted for all replicas together. */
export interface Rates {
  /** Counts one request on an account. Rejects while Redis is away. */
  take(quotaSubject: string, rate: Rate): Promise<RateLeft>;
}

export function redisRates(redis: Redis, keys: Keys): Rates {
  const limiters = new Map<string, RateLimiterRedis>();
  const limiterOf = ({ points, seconds }: Rate): RateLimiterRedis => {
    // Another rate counts anew, and does not shorten what another replica still counts by.
    const name = `${points}-${seconds}`;
    const known = limiters.get(name);
    if (known) return known;
    const made = new RateLimiterRedis({
      storeClient: redis,
      keyPrefix: keys.rate(name),
      points,
      duration: seconds,
      // Who has used it up is refused from memory: a flood of refusals costs Redis nothing.
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
