import type { EndReason, EventType, Instance, InstanceEvent } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import { readEntries } from './event-log.ts';
import type { Entry } from './event-log.ts';
import type { Keys } from './keys.ts';

/** What a person looks for in the stream of events, from the latest event back. Undefined: any. */
export interface LatestQuery {
  /** A position in the stream, before which the page begins. Undefined: the latest event. */
  readonly before?: string | undefined;
  readonly limit: number;
  readonly types?: readonly EventType[] | undefined;
  readonly template?: string | undefined;
  readonly reason?: EndReason | undefined;
}

/** A page, the latest first. */
export interface LatestPage<T> {
  readonly items: T[];
  /** Where the next page begins; undefined after the last event that is stored. */
  readonly nextBefore: string | undefined;
}

/** How many events one page inspects, and how many one command reads. */
const MAX_INSPECTED = 2_000;
const BATCH = 500;

/**
 * Returns the latest events that match. If few of them match, the page is short or empty and has a
 * position for the next one.
 */
export async function latestEvents(
  redis: Redis,
  keys: Keys,
  query: LatestQuery,
): Promise<LatestPage<InstanceEvent>> {
  const { items, nextBefore } = await latestEntries(redis, keys, query);
  return { items: await readEntries(redis, keys, items), nextBefore };
}

/** Lists ended instances while their tombstones exist, the latest end first. Pages as `latestEvents`. */
export async function listEnded(
  redis: Redis,
  keys: Keys,
  readAll: (ids: readonly string[]) => Promise<Instance[]>,
  query: Omit<LatestQuery, 'types'>,
): Promise<LatestPage<Instance>> {
  const ends = { ...query, types: ['gone', 'failed'] } as const;
  const { items, nextBefore } = await latestEntries(redis, keys, ends);
  const ids = items.map((entry) => fieldsOf(entry).get('id') ?? '');
  return { items: await readAll(ids), nextBefore };
}

async function latestEntries(
  redis: Redis,
  keys: Keys,
  { before, limit, types, template, reason }: LatestQuery,
): Promise<LatestPage<Entry>> {
  const items: Entry[] = [];
  const wantedTypes: readonly string[] | undefined = types;
  const matches = (fields: ReadonlyMap<string, string>) =>
    (wantedTypes?.includes(fields.get('type') ?? '') ?? true) &&
    (template === undefined || fields.get('template') === template) &&
    (reason === undefined || fields.get('reason') === reason);
  let last = before;
  for (let inspected = 0; inspected < MAX_INSPECTED; inspected += BATCH) {
    const from = last === undefined ? '+' : `(${last}`;
    const entries = await redis.xrevrange(keys.events, from, '-', 'COUNT', BATCH);
    for (const entry of entries) {
      [last] = entry;
      if (matches(fieldsOf(entry))) items.push(entry);
      if (items.length === limit) return { items, nextBefore: last };
    }
    if (entries.length < BATCH) return { items, nextBefore: undefined };
  }
  return { items, nextBefore: last };
}

function fieldsOf([, flat]: Entry): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (let i = 0; i + 1 < flat.length; i += 2) fields.set(flat[i] ?? '', flat[i + 1] ?? '');
  return fields;
}
