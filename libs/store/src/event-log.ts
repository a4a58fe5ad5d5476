import type { EndReason, EventType, InstanceEvent, State } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import { SCRIPT_CONSTANTS } from './limits.ts';
import { loadScript, runScript } from './run-script.ts';

/** Consecutive events in order. */
export interface EventSpan {
  readonly events: readonly InstanceEvent[];
  /** Whether some of the events before these are no longer stored. */
  readonly gap: boolean;
}

/** How many events are stored, and since when. */
export interface EventLogState {
  readonly count: number;
  /** How many are stored at most, about. */
  readonly max: number;
  /** Time of the oldest event, epoch ms; undefined: there is none. */
  readonly oldestAt: number | undefined;
}

export async function readEventLogState(redis: Redis, keys: Keys): Promise<EventLogState> {
  const [count, [oldest]] = await Promise.all([
    redis.xlen(keys.events),
    redis.xrange(keys.events, '-', '+', 'COUNT', 1),
  ]);
  const oldestAt = oldest === undefined ? undefined : Number(oldest[0].split('-')[0]);
  return { count, max: SCRIPT_CONSTANTS.MAX_EVENTS, oldestAt };
}

/** The position before every event. */
export const FIRST = '0-0';

/** A stream entry as Redis returns it: its id, then field names and values alternating. */
export type Entry = [seq: string, fields: string[]];

const { EVENT_REFERENCE } = SCRIPT_CONSTANTS;

/**
 * Parses the events in stream entries, and reads their long texts from the instances. The text of an
 * instance whose tombstone has expired is missing.
 */
export async function readEntries(
  redis: Redis,
  keys: Keys,
  entries: readonly Entry[],
): Promise<InstanceEvent[]> {
  const found = entries.map(([seq, flat]) => ({ seq, fields: fieldsOf(flat) }));
  const ids = found
    .filter(({ fields }) => [fields['message'], fields['metadata']].includes(EVENT_REFERENCE))
    .map(({ fields }) => fields['id'] ?? '');
  const texts = new Map<string, Record<string, string>>();
  for (const id of new Set(ids)) {
    const [message, metadata] = await redis.hmget(keys.instance(id), 'message', 'metadata');
    texts.set(id, { message: message ?? '', metadata: metadata ?? '{}' });
  }
  return found.map(({ seq, fields }) => {
    const of = texts.get(fields['id'] ?? '') ?? {};
    for (const name of ['message', 'metadata'])
      if (fields[name] === EVENT_REFERENCE) fields[name] = of[name] ?? '';
    return readEvent(seq, fields);
  });
}

function fieldsOf(flat: readonly string[]): Record<string, string> {
  const fields: Record<string, string> = {};
  for (let i = 0; i + 1 < flat.length; i += 2) fields[flat[i] ?? ''] = flat[i + 1] ?? '';
  return fields;
}

function readEvent(seq: string, fields: Readonly<Record<string, string>>): InstanceEvent {
  const { type, id = '', template = '', state, reason = '', message = '' } = fields;
  return {
    seq,
    type: type as EventType,
    time: Number(seq.split('-')[0]),
    id,
    template,
    state: state as State,
    reason: reason === '' ? undefined : (reason as EndReason),
    message: message === '' ? undefined : message,
    generation: Number(fields['generation']),
    expiresAt: Number(fields['expiresAt']),
    metadata: JSON.parse(fields['metadata'] ?? '{}') as Record<string, string>,
  };
}

/**
 * Reads at most `limit` events after the event at `after`. If that event is no longer stored,
 * events after it may be missing too: the result reports a gap.
 */
export async function readEvents(
  redis: Redis,
  keys: Keys,
  after: string,
  limit: number,
): Promise<EventSpan> {
  const answers = await redis
    .multi()
    .xrange(keys.events, after, after)
    .xrange(keys.events, `(${after}`, '+', 'COUNT', limit)
    .exec();
  const [there, found] = (answers ?? []).map(([error, entries]) => {
    if (error) throw error;
    return entries as Entry[];
  });
  return {
    events: await readEntries(redis, keys, found ?? []),
    gap: after !== FIRST && there?.length === 0,
  };
}

/** Returns the position of the last event. */
export async function lastEvent(redis: Redis, keys: Keys): Promise<string> {
  const [last] = await redis.xrevrange(keys.events, '+', '-', 'COUNT', 1);
  return last?.[0] ?? FIRST;
}

const expiringScript = loadScript('expiring');

/** How many `expiring` events one script emits. Redis is blocked for a few milliseconds meanwhile. */
const BATCH = 100;

/**
 * Emits the `expiring` event of every instance whose notice is due, once per deadline even if
 * several workers call this at the same time.
 * @param now on the store's clock; only saves the script while nothing is due
 * @returns how many events were emitted
 */
export async function emitExpiringEvents(redis: Redis, keys: Keys, now: number): Promise<number> {
  const next = ['-inf', String(now), 'BYSCORE', 'LIMIT', 0, 1] as const;
  if ((await redis.zrange(keys.expiring, ...next)).length === 0) return 0;
  let reported = 0;
  for (let isMore = true; isMore;) {
    const scriptKeys = [keys.expiring, keys.events];
    const reply = await runScript(redis, expiringScript, scriptKeys, [BATCH]);
    const [due = 0, emitted = 0] = reply as number[];
    reported += emitted;
    isMore = due === BATCH;
  }
  return reported;
}

const useScript = loadScript('use');

/**
 * Emits the event of a command that is about to run in an instance, or of a change of its files.
 * @returns false if the instance is not ready under this generation, so that nothing may be done
 */
export async function recordUse(
  redis: Redis,
  keys: Keys,
  { id, generation }: Pick<InstanceEvent, 'id' | 'generation'>,
  type: 'exec' | 'files',
): Promise<boolean> {
  const touched = [keys.instance(id), keys.events];
  return (await runScript(redis, useScript, touched, [generation, type])) === 1;
}
