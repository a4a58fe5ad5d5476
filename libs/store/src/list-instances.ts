import type { Instance, State } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';

export interface ListQuery {
  /** A generation at which the page starts. */
  readonly cursor: number;
  readonly limit: number;
  readonly state?: readonly State[] | undefined;
  readonly template?: readonly string[] | undefined;
  readonly host?: string | undefined;
  /** An instance must match every entry. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

export interface Page {
  readonly items: Instance[];
  /** Where the next page starts; undefined after the last. */
  readonly nextCursor: number | undefined;
}

/**
 * How many instances one page inspects. If few of them match, the page is short or empty and has a
 * cursor. So no call blocks Redis or a replica for long.
 */
const SCAN_LIMIT = 1_000;
const BATCH = 250;

/** Returns one page of the live instances in the order of their creation. */
export async function listInstances(
  redis: Redis,
  keys: Keys,
  readAll: (ids: readonly string[]) => Promise<Instance[]>,
  query: ListQuery,
): Promise<Page> {
  const { limit } = query;
  const items: Instance[] = [];
  const isFiltered = query.state ?? query.template ?? query.host ?? query.metadata;
  let cursor = query.cursor;
  for (let inspected = 0; inspected < SCAN_LIMIT;) {
    const wanted = isFiltered ? BATCH : Math.min(BATCH, limit - items.length);
    // Read the scores in the same command. A separate lookup finds nothing if the instance dies in
    // between.
    const span = ['BYSCORE', 'LIMIT', 0, wanted + 1, 'WITHSCORES'] as const;
    const flat = await redis.zrange(keys.instances, cursor, '+inf', ...span);
    // Use the score as cursor: draining gives an instance a later generation, but not a new score.
    const places = new Map<string, number>();
    for (let i = 0; i < flat.length; i += 2) places.set(flat[i] ?? '', Number(flat[i + 1]));
    const ids = [...places.keys()].slice(0, wanted);
    const next = flat[2 * wanted + 1];
    for (const instance of await readAll(ids)) {
      if (!matches(query, instance)) continue;
      if (items.length === limit) return { items, nextCursor: places.get(instance.id) };
      items.push(instance);
    }
    if (next === undefined) return { items, nextCursor: undefined };
    inspected += wanted;
    cursor = Number(next);
    if (items.length === limit && !isFiltered) break;
  }
  return { items, nextCursor: cursor };
}

function matches({ state, template, host, metadata = {} }: ListQuery, instance: Instance): boolean {
  return (
    (state?.includes(instance.state) ?? true) &&
    (template?.includes(instance.template.name) ?? true) &&
    (host === undefined || instance.host === host) &&
    Object.entries(metadata).every(([key, value]) => instance.metadata[key] === value)
  );
}

/** How many events are searched for failures, and how many failures are listed. */
const SEARCHED_EVENTS = 500;
const MAX_FAILURES = 10;

/** The ids of the instances that failed to start or exited last, the latest first. */
export async function recentFailures(redis: Redis, keys: Keys): Promise<string[]> {
  const entries = await redis.xrevrange(keys.events, '+', '-', 'COUNT', SEARCHED_EVENTS);
  const ids = entries.flatMap(([, flat]) => {
    const fields = new Map<string, string>();
    for (let i = 0; i + 1 < flat.length; i += 2) fields.set(flat[i] ?? '', flat[i + 1] ?? '');
    const isExit = fields.get('reason') === 'exited' || fields.get('reason') === 'oom';
    const type = fields.get('type');
    return type === 'failed' || (type === 'gone' && isExit) ? [fields.get('id') ?? ''] : [];
  });
  return ids.slice(0, MAX_FAILURES);
}

/** Sets the message of each queued instance to its present position in the queue. */
export async function withQueuePositions(
  redis: Redis,
  keys: Keys,
  instances: readonly Instance[],
): Promise<Instance[]> {
  const waiting = instances.filter(({ queued }) => queued);
  if (waiting.length === 0) return [...instances];
  const pipeline = redis.pipeline();
  for (const { id, template } of waiting) {
    const queue = keys.templateQueue(template.name);
    pipeline.zrank(queue, id).zcard(queue);
  }
  const replies = (await pipeline.exec()) ?? [];
  const changed = new Map<string, Instance>();
  for (const [i, instance] of waiting.entries()) {
    const [rank, length] = [replies[2 * i]?.[1], replies[2 * i + 1]?.[1]];
    // The instance has left the queue since it was read.
    if (typeof rank !== 'number') continue;
    const message = `queued at position ${rank + 1} of ${String(length)}`;
    changed.set(instance.id, { ...instance, message });
  }
  return instances.map((instance) => changed.get(instance.id) ?? instance);
}
