import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, isLater } from '@ephemera/domain';
import type { InstanceEvent } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import { KeyedSignal } from './keyed-signal.ts';
import { type EventSpan, lastEvent, readEvent, readEvents } from './event-log.ts';
import type { Keys } from './keys.ts';

export interface EventFeedOptions {
  /** The connection for catching up. */
  readonly redis: Redis;
  /** A connection of the feed's own, with the patience to `watch`. */
  readonly blocking: Redis;
  readonly keys: Keys;
  /** Events kept in memory for all readers together. */
  readonly remembered?: number;
}

/** How long one blocking read waits, ms; a stop need not wait for it. */
const BLOCK = 5_000;
const BATCH = 200;
/** How long to wait with the next attempt while Redis is away, ms. */
const RETRY_DELAY_MS = 500;
const NEWS = 'news';

/**
 * The events of a deployment for any number of readers in one process, over one blocking
 * connection. Readers pull: each keeps its own place, so a slow one holds up nobody and fills no
 * memory; what it has left behind is read from Redis again.
 */
export class EventFeed {
  readonly #redis: Redis;
  readonly #blocking: Redis;
  readonly #keys: Keys;
  readonly #remembered: number;
  readonly #signals = new KeyedSignal();
  /** The latest events, whole from just after `#from`; nothing while the feed is not connected. */
  #recent: InstanceEvent[] = [];
  #from: string | undefined;
  #stopped = false;
  #running: Promise<void> | undefined;

  constructor(options: EventFeedOptions) {
    this.#redis = options.redis;
    this.#blocking = options.blocking;
    this.#keys = options.keys;
    this.#remembered = options.remembered ?? 1_000;
  }

  start(): void {
    this.#running = this.#follow();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#blocking.disconnect();
    this.#signals.notifyAll();
    await this.#running;
  }

  /**
   * The place of the latest event: a reader from here on sees all that happens after this call.
   * @throws ApiError store_unavailable
   */
  async now(): Promise<string> {
    return await this.#orUnavailable(lastEvent(this.#redis, this.#keys));
  }

  /**
   * The events after a place, as soon as there are any; none where `withinMs` passed or the signal
   * was raised first.
   * @throws ApiError store_unavailable
   */
  async next(after: string, timeoutMs: number, signal?: AbortSignal): Promise<EventSpan> {
    const end = performance.now() + timeoutMs;
    for (;;) {
      const subscription = this.#signals.subscribe(NEWS, signal);
      try {
        const span = this.#recentAfter(after) ?? (await this.#orUnavailable(this.#read(after)));
        const remaining = end - performance.now();
        const isOver = remaining <= 0 || this.#stopped || signal?.aborted === true;
        if (span.events.length > 0 || span.gap || isOver) return span;
        await subscription.wait(remaining);
      } finally {
        subscription.dispose();
      }
    }
  }

  #read(after: string): Promise<EventSpan> {
    return readEvents(this.#redis, this.#keys, after, BATCH);
  }

  /** What memory has to say; undefined where it does not reach back so far. */
  #recentAfter(after: string): EventSpan | undefined {
    const last = this.#recent.at(-1)?.seq ?? this.#from;
    if (this.#from === undefined || last === undefined) return undefined;
    // A place that is ahead of memory is asked of Redis: it may never have given it.
    if (isLater(this.#from, after) || isLater(after, last)) return undefined;
    const first = this.#recent.findIndex(({ seq }) => isLater(seq, after));
    const events = first === -1 ? [] : this.#recent.slice(first, first + BATCH);
    return { events, gap: false };
  }

  async #follow(): Promise<void> {
    for (;;) {
      try {
        await this.#followUntilLost(await lastEvent(this.#redis, this.#keys));
      } catch {
        // The connection reports its own faults. What came meanwhile, readers find in Redis.
      }
      this.#from = undefined;
      this.#recent = [];
      if (this.#stopped) return;
      await sleep(RETRY_DELAY_MS);
    }
  }

  async #followUntilLost(from: string): Promise<void> {
    this.#from = from;
    let last = from;
    this.#signals.notify(NEWS);
    while (!this.#stopped) {
      const block = ['COUNT', BATCH, 'BLOCK', BLOCK] as const;
      const reply = await this.#blocking.xread(...block, 'STREAMS', this.#keys.events, last);
      const entries = reply?.[0]?.[1] ?? [];
      if (entries.length === 0) continue;
      const events = entries.map(readEvent);
      last = events.at(-1)?.seq ?? last;
      this.#remember(events);
      this.#signals.notify(NEWS);
    }
  }

  #remember(events: readonly InstanceEvent[]): void {
    this.#recent.push(...events);
    const forgotten = this.#recent.splice(0, Math.max(0, this.#recent.length - this.#remembered));
    this.#from = forgotten.at(-1)?.seq ?? this.#from;
  }

  async #orUnavailable<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch {
      throw new ApiError({ kind: 'store_unavailable' });
    }
  }
}
