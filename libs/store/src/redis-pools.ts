import type { PoolWish, Pools } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';

/** The pools of warm instances: wishes by template, members and claimable ones by fingerprint. */
export function redisPools(redis: Redis, keys: Keys): Pools {
  return {
    async publish(wishes) {
      const change = redis.multi().del(keys.pools);
      for (const wish of wishes) change.hset(keys.pools, wish.template.name, JSON.stringify(wish));
      await change.exec();
    },

    async wishes() {
      const texts = await redis.hvals(keys.pools);
      return texts.map((text) => JSON.parse(text) as PoolWish);
    },

    async boost(template, entry, ready, ms) {
      await redis.set(keys.boost(template, entry), ready, 'PX', ms);
    },

    async wanted({ name, pool, schedule }) {
      if (schedule.length === 0) return pool;
      const boosts = await redis.mget(schedule.map((_, entry) => keys.boost(name, entry)));
      return Math.max(pool, ...boosts.map(Number));
    },

    async count(fingerprint) {
      return redis.scard(keys.pool(fingerprint));
    },

    async unclaimed(fingerprint, most) {
      return redis.zrange(keys.warm(fingerprint), '0', String(most - 1));
    },

    async fingerprints() {
      const all = await redis.smembers(keys.poolFingerprints);
      const living: string[] = [];
      for (const each of all) {
        if ((await redis.exists(keys.pool(each))) === 1) living.push(each);
      }
      return living;
    },
  };
}
