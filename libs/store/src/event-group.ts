import type { InstanceEvent } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import { readEntries } from './event-log.ts';
import type { Entry } from './event-log.ts';
import type { Keys } from './keys.ts';
import { loadScript, runScript } from './run-script.ts';

/**
 * A consumer group: each event is delivered to one reader, and again to another until one
 * acknowledges it.
 */
export interface EventGroup {
  /** Creates the group if it does not exist. A new group starts with events after this call. */
  ensure(): Promise<void>;
  /** Returns the next events for this reader; waits at most `timeoutMs` for one. */
  take(timeoutMs: number): Promise<InstanceEvent[]>;
  /**
   * Claims events that a reader took over `idleMs` ago without acknowledging them: it may have
   * died.
   */
  takeOver(idleMs: number): Promise<InstanceEvent[]>;
  done(events: readonly InstanceEvent[]): Promise<void>;
  /** Deletes readers that have read nothing for `idleMs` and have nothing left to acknowledge. */
  forgetIdle(idleMs: number): Promise<void>;
}

const BATCH = 100;

const forgetReaders = loadScript('forget-readers');

export interface EventGroupConnections {
  readonly redis: Redis;
  /** A dedicated connection with the `watch` profile. */
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
      return await readEntries(redis, keys, reply?.[0]?.[1] ?? []);
    },
    async takeOver(idleMs) {
      const asked = [keys.events, group, reader, idleMs, '0', 'COUNT', BATCH] as const;
      const [, entries] = (await redis.xautoclaim(...asked)) as [string, (Entry | null)[]];
      return await readEntries(
        redis,
        keys,
        entries.filter((entry) => entry !== null),
      );
    },
    async done(events) {
      if (events.length > 0) await redis.xack(keys.events, group, ...events.map(({ seq }) => seq));
    },
    async forgetIdle(idleMs) {
      await runScript(redis, forgetReaders, [keys.events], [group, reader, idleMs]);
    },
  };
}
