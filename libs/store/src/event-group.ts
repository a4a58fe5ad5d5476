import type { InstanceEvent } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import { type Entry, readEvent } from './event-log.ts';
import type { Keys } from './keys.ts';
import { loadScript, runScript } from './run-script.ts';

/** Readers that share the events: each event is given to one of them, until one has done it. */
export interface EventGroup {
  /** Makes the group where there is none: it begins with what happens from now on. */
  ensure(): Promise<void>;
  /** The next events for this reader, waiting at most `withinMs` for some. */
  take(timeoutMs: number): Promise<InstanceEvent[]>;
  /** Events that a reader took over `idleMs` ago and has not done: it may have died. */
  takeOver(idleMs: number): Promise<InstanceEvent[]>;
  done(events: readonly InstanceEvent[]): Promise<void>;
  /** Forgets readers that have asked for nothing for `idleMs` and have nothing left to do. */
  forgetIdle(idleMs: number): Promise<void>;
}

const BATCH = 100;

const forgetReaders = loadScript('forget-readers');

export interface EventGroupConnections {
  readonly redis: Redis;
  /** A connection of its own, with the patience to `watch`. */
  readonly blocking: Redis;
}

export function redisEventGroup(
  { redis, blocking }: EventGroupConnections,
  keys: Keys,
  group: string,
  reader: string,
): EventGroup {
  return {
    async ensure() {
      await redis.xgroup('CREATE', keys.events, group, '$', 'MKSTREAM').catch((error: unknown) => {
        if (!(error instanceof Error && error.message.startsWith('BUSYGROUP'))) throw error;
      });
    },
    async take(timeoutMs) {
      const block = ['COUNT', BATCH, 'BLOCK', timeoutMs] as const;
      const asked = ['GROUP', group, reader, ...block, 'STREAMS', keys.events, '>'] as const;
      const reply = (await blocking.xreadgroup(...asked)) as [string, Entry[]][] | null;
      return (reply?.[0]?.[1] ?? []).map(readEvent);
    },
    async takeOver(idleMs) {
      const asked = [keys.events, group, reader, idleMs, '0', 'COUNT', BATCH] as const;
      const [, entries] = (await redis.xautoclaim(...asked)) as [string, (Entry | null)[]];
      return entries.filter((entry) => entry !== null).map(readEvent);
    },
    async done(events) {
      if (events.length > 0) await redis.xack(keys.events, group, ...events.map(({ seq }) => seq));
    },
    async forgetIdle(idleMs) {
      await runScript(redis, forgetReaders, [keys.events], [group, reader, idleMs]);
    },
  };
}
