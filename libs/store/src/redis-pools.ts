import { mayFillPool, signPool } from '@ephemera/lifecycle';
import type { PoolSpec, Pools, StartSigner } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';

/**
 * The pools of warm instances: specs by template, members and claimable instances by fingerprint.
 *
 * @param onRefused called with the template of each spec that `listPoolSpecs` leaves out, because no
 * key has signed it
 */
export function redisPools(
  redis: Redis,
  keys: Keys,
  signer?: StartSigner,
  onRefused?: (template: string) => void,
): Pools {
  const readSpecs = async () => {
    const texts = await redis.hvals(keys.pools);
    return texts.map((text) => {
      const { signature, ...spec } = JSON.parse(text) as PoolSpec & { signature?: string };
      return { spec, isRefused: signer !== undefined && !mayFillPool(signer, spec, signature) };
    });
  };
  return {
    async setPoolSpecs(specs) {
      const change = redis.multi().del(keys.pools);
      for (const spec of specs) {
        const signature = signer?.hasKeys === true ? signPool(signer, spec) : undefined;
        change.hset(keys.pools, spec.template.name, JSON.stringify({ ...spec, signature }));
      }
      await change.exec();
    },

    async listPoolSpecs() {
      const specs = await readSpecs();
      for (const { spec, isRefused } of specs) if (isRefused) onRefused?.(spec.template.name);
      return specs.filter(({ isRefused }) => !isRefused).map(({ spec }) => spec);
    },

    async setScheduledMinimum(template, entry, ready, ms) {
      await redis.set(keys.scheduledMinimum(template, entry), ready, 'PX', ms);
    },

    async desiredCount({ name, pool, schedule }) {
      if (schedule.length === 0) return pool;
      const boosts = await redis.mget(
        schedule.map((_, entry) => keys.scheduledMinimum(name, entry)),
      );
      return Math.max(pool, ...boosts.map(Number));
    },

    async count(fingerprint) {
      return redis.scard(keys.pool(fingerprint));
    },

    async unclaimed(fingerprint, max) {
      return redis.zrange(keys.warm(fingerprint), '0', String(max - 1));
    },

    async fingerprints() {
      const all = await redis.smembers(keys.poolFingerprints);
      if (all.length === 0) return [];
      // A pool whose spec is refused keeps its instances: the keys may be changing.
      const specs = await readSpecs();
      const refused = new Set(
        specs.filter(({ isRefused }) => isRefused).map(({ spec }) => spec.fingerprint),
      );
      const living: string[] = [];
      for (const text of all) {
        if (refused.has(text)) continue;
        if ((await redis.exists(keys.pool(text))) === 1) living.push(text);
      }
      return living;
    },
  };
}

/** The specs of all pools as they are stored, with their signatures: spec by template, JSON. */
export type StoredPoolSpecs = Readonly<Record<string, string>>;

/** Saves and restores the specs of all pools without a signing key. */
export function storedPoolSpecs(redis: Redis, keys: Keys) {
  return {
    read: (): Promise<StoredPoolSpecs> => redis.hgetall(keys.pools),
    /** Replaces all specs. */
    async replace(specs: StoredPoolSpecs): Promise<void> {
      const change = redis.multi().del(keys.pools);
      if (Object.keys(specs).length > 0) change.hset(keys.pools, specs);
      await change.exec();
    },
  };
}
