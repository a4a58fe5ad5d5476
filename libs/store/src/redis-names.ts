import type { Name } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import { loadScript, runScript } from './run-script.ts';

const remove = loadScript('remove-name', 'frees');

/** The condition of a change of a name. */
export interface NameCondition {
  /** The generation that it must have, or `*` for any. Undefined: no condition. */
  readonly match?: string | undefined;
  /** The owner that it must have. Undefined: no condition. */
  readonly owner?: string | undefined;
}

export type RemovedName =
  /** `ids`: the instance that it led to, and the one that was starting for it. */
  | { readonly kind: 'removed'; readonly ids: readonly string[] }
  | { readonly kind: 'absent' }
  /** Another token owns it. */
  | { readonly kind: 'foreign' }
  | { readonly kind: 'unmatched'; readonly generation: number | undefined };

/** What a visit starts again. */
export interface NameRestart {
  readonly owner: string;
  /** The generation of the name. */
  readonly generation: number;
  /** As the creator of the instance wrote it. */
  readonly restart: string;
}

export interface NamePage {
  readonly names: readonly Name[];
  /** The `after` of the next page. Undefined: this is the last one. */
  readonly next: string | undefined;
}

/** The stable names. `create.lua` assigns them, and `ready.lua` moves them. */
export interface Names {
  get(name: string): Promise<Name | undefined>;
  /** What a visit to the name starts once its instance has ended. Undefined: nothing. */
  readRestart(name: string): Promise<NameRestart | undefined>;
  /** Names in alphabetical order: at most `limit`, those after `after`. */
  list(query: { readonly after: string; readonly limit: number }): Promise<NamePage>;
  /** Forgets a name and ends the leases of its instances in one step. The caller hastens their end. */
  remove(name: string, condition: NameCondition): Promise<RemovedName>;
}

type Reply = ['removed', string, string] | ['absent'] | ['foreign'] | ['unmatched', string];

export function redisNames(redis: Redis, keys: Keys): Names {
  return {
    async get(name) {
      return readName(await redis.hgetall(keys.name(name)));
    },

    async readRestart(name) {
      const fields = ['owner', 'generation', 'restart'] as const;
      const [owner, generation, restart] = await redis.hmget(keys.name(name), ...fields);
      if (!owner || !restart) return undefined;
      return { owner, generation: Number(generation), restart };
    },

    async list({ after, limit }) {
      // MAX_NAMES bounds the set. It may contain expired names: only creations remove them.
      const now = readClock(await redis.time());
      const live = await redis.zrange(keys.names, `(${now}`, '+inf', 'BYSCORE');
      const following = live.filter((name) => name > after).sort();
      const page = following.slice(0, limit);
      const pipeline = redis.pipeline();
      for (const name of page) pipeline.hgetall(keys.name(name));
      const found = (await pipeline.exec()) ?? [];
      const names = found.flatMap(([error, fields]) => {
        if (error) throw error;
        return readName(fields as Record<string, string>) ?? [];
      });
      // A name may expire between the two reads, so the last one that was found is no cursor.
      return { names, next: following.length > limit ? page.at(-1) : undefined };
    },

    async remove(name, condition) {
      const argument = JSON.stringify({ ...condition, name });
      const reply = (await runScript(redis, remove, [keys.name(name)], [argument])) as Reply;
      switch (reply[0]) {
        case 'removed':
          return { kind: 'removed', ids: reply.slice(1).filter((id) => id !== '') };
        case 'unmatched':
          return { kind: 'unmatched', generation: readGeneration(reply[1]) };
        default:
          return { kind: reply[0] };
      }
    },
  };
}

/** @param text empty: there is no such name */
export function readGeneration(text: string): number | undefined {
  return text === '' ? undefined : Number(text);
}

/** Epoch milliseconds of Redis' clock. */
function readClock([seconds, micros]: readonly (number | string)[]): number {
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}

function readName(fields: Readonly<Record<string, string>>): Name | undefined {
  const { name, id, next, owner = '' } = fields;
  if (name === undefined || id === undefined) return undefined;
  return {
    name,
    id,
    ...(next !== undefined && { next }),
    generation: Number(fields['generation']),
    owner,
    createdAt: Number(fields['createdAt']),
    updatedAt: Number(fields['updatedAt']),
    expiresAt: Number(fields['expiresAt']),
  };
}
