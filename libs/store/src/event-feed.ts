import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, isLater } from '@ephemera/domain';
import type { InstanceEvent } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import { isRedisUnavailable } from './connect-redis.ts';
import { KeyedSignal } from './keyed-signal.ts';
import { lastEvent, readEntries, readEvents } from './event-log.ts';
import type { EventSpan } from './event-log.ts';
import type { Keys } from './keys.ts';

export interface EventFeedOptions {
  /** The connection for reading older events. */
  readonly redis: Redis;
  /** A dedicated connection with the `watch` profile. */
  readonly blocking: Redis;
  readonly keys: Keys;
  /** Receives what ends the reading other than an unavailable Redis. It is tried again. */
  readonly onError?: (error: unknown) => void;
  /** Maximum number of events kept in memory, shared by all readers. */
  readonly remembered?: number;
}

/** How long one blocking read waits, ms. `stop` does not wait for it. */
const BLOCK = 5_000;
const BATCH = 200;
/** Delay between two attempts while Redis is unavailable, ms. */
const RETRY_DELAY_MS = 500;
const NEWS = 'news';

/**
 * Serves the events of a deployment to any number of readers in one process, over one blocking
 * connection. Each reader pulls from its own position. So a slow reader neither delays others nor
 * fills memory: events that memory no longer holds are read from Redis.
 */
export class EventFeed {
  readonly #redis: Redis;
  readonly #blocking: Redis;
  readonly #keys: Keys;
  readonly #onError: EventFeedOptions['onError'];
  readonly #remembered: number;
  readonly #signals = new KeyedSignal();
  /** The latest events, complete from just after `#from`. Empty while the feed is not connected. */
  #recent: InstanceEvent[] = [];
  #from: string | undefined;
  #stopped = false;
  #running: Promise<void> | undefined;

  constructor(options: EventFeedOptions) {
    this.#redis = options.redis;
    this.#blocking = options.blocking;
    this.#keys = options.keys;
    this.#onError = options.onError;
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
   * Returns the position of the latest event. A reader that starts here sees every event after this
   * call.
   * @throws ApiError store_unavailable
   */
  async now(): Promise<string> {
    return await this.#orUnavailable(lastEvent(this.#redis, this.#keys));
  }

  /**
   * Returns the events after a position, as soon as there are any. Returns none when `timeoutMs`
   * has passed or the signal was aborted.
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

  /**
   * Returns the events after a position from memory; undefined where memory does not reach back
   * that far.
   */
  #recentAfter(after: string): EventSpan | undefined {
    const last = this.#recent.at(-1)?.seq ?? this.#from;
    if (this.#from === undefined || last === undefined) return undefined;
    // A position after the last event in memory may come from another Redis, so Redis decides.
    if (isLater(this.#from, after) || isLater(after, last)) return undefined;
    const first = this.#recent.findIndex(({ seq }) => isLater(seq, after));
    const events = first === -1 ? [] : this.#recent.slice(first, first + BATCH);
    return { events, gap: false };
  }

  async #follow(): Promise<void> {
    for (;;) {
      try {
        await this.#followUntilLost(await lastEvent(this.#redis, this.#keys));
      } catch (error) {
        // The connection reports its own errors. Readers find the events missed meanwhile in Redis.
        if (!isRedisUnavailable(error)) this.#onError?.(error);
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
      const events = await readEntries(this.#redis, this.#keys, entries);
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
    } catch (error) {
      throw new ApiError({ kind: 'store_unavailable' }, { cause: error });
    }
  }
}
