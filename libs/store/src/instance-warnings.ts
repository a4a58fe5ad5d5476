import { type InstanceWarning, WARNING_KINDS } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';

/** The last warning of each kind about an instance. */
export interface InstanceWarnings {
  /**
   * Stores a warning; replaces the last one of its kind. The caller limits how often it writes, and
   * writes only for instances that exist.
   */
  save(id: string, warning: InstanceWarning): Promise<void>;
  /** Warnings of the last hour, in the order of `WARNING_KINDS`. */
  read(id: string): Promise<readonly InstanceWarning[]>;
}

/** How long a warning is kept, ms. */
export const WARNING_TTL_MS = 3_600_000;
/** Longest stored text, characters. */
const MAX_DETAIL = 1_000;

export function redisInstanceWarnings(redis: Redis, keys: Keys): InstanceWarnings {
  return {
    async save(id, { kind, detail, at }) {
      const text = JSON.stringify({ kind, detail: detail.slice(0, MAX_DETAIL), at });
      await redis.set(keys.warning(kind, id), text, 'PX', WARNING_TTL_MS);
    },
    async read(id) {
      const texts = await redis.mget(WARNING_KINDS.map((kind) => keys.warning(kind, id)));
      return texts.flatMap((text) => (text === null ? [] : [JSON.parse(text) as InstanceWarning]));
    },
  };
}
