import type { Redis } from 'ioredis';
import { isRedisUnavailable } from './connect-redis.ts';

/** Events of the invalidation connection, in the order of the connection. */
export interface TrackingEvents {
  /**
   * From now on Redis pushes every change. `since` is when tracking was requested, monotonic ms.
   */
  up(since: number): void;
  /** Every change before `since` (monotonic ms) has been pushed. */
  proven(since: number): void;
  /** The value at this key changed, expired or was deleted; null: all keys. */
  invalid(key: string | null): void;
  /** From now on changes may be missed. */
  down(): void;
  /** Redis refused the subscription. It is tried again. */
  failed(error: unknown): void;
}

const CHANNEL = '__redis__:invalidate';
const HEARTBEAT = 1_000;
/**
 * The connection is closed when it does not answer for this long: pushes would not arrive either.
 */
const SILENCE = 2_000;

/** Creates the invalidation subscription of a route cache; `start` connects it. */
export function trackRoutes(
  redis: Redis,
  prefixes: readonly string[],
  events: TrackingEvents,
  clock: () => number,
): RouteTracking {
  return new RouteTracking(redis, prefixes, events, clock);
}

/**
 * Receives every change below some key prefixes, by Redis' broadcasting client tracking (CLIENT
 * TRACKING … BCAST) redirected to a subscription on the same connection.
 *
 * A heartbeat on that connection proves that no push is outstanding: Redis sends the pushes for all
 * writes before the PING ahead of the PONG.
 */
export class RouteTracking {
  readonly #redis: Redis;
  readonly #prefixes: readonly string[];
  readonly #events: TrackingEvents;
  readonly #clock: () => number;
  #up = false;
  #heartbeat: NodeJS.Timeout | undefined;
  #silence: NodeJS.Timeout | undefined;

  constructor(
    redis: Redis,
    prefixes: readonly string[],
    events: TrackingEvents,
    clock: () => number,
  ) {
    this.#redis = redis;
    this.#prefixes = prefixes;
    this.#events = events;
    this.#clock = clock;
  }

  /** Resolves when the first connection attempt has succeeded or failed. It keeps reconnecting. */
  async start(): Promise<void> {
    this.#redis.on('connect', () => this.#expectAnswer());
    this.#redis.on('ready', () => void this.#subscribe());
    this.#redis.on('close', () => this.#lost());
    this.#redis.on('messageBuffer', (channel: Buffer | string, message: unknown) => {
      if (String(channel) === CHANNEL) this.#onInvalidation(message);
    });
    const settled = new Promise<void>((resolve) => {
      this.#redis.once('tracking', () => resolve());
      this.#redis.once('close', () => resolve());
    });
    this.#redis.connect().catch(() => undefined);
    await settled;
  }

  stop(): void {
    clearTimeout(this.#heartbeat);
    clearTimeout(this.#silence);
    for (const event of ['connect', 'ready', 'close', 'messageBuffer']) {
      this.#redis.removeAllListeners(event);
    }
    this.#redis.disconnect();
  }

  async #subscribe(): Promise<void> {
    const since = this.#clock();
    try {
      const id = await this.#redis.client('ID');
      await this.#redis.call(
        ...(['CLIENT', 'TRACKING', 'ON', 'REDIRECT', String(id)] as const),
        'BCAST',
        ...this.#prefixes.flatMap((prefix) => ['PREFIX', prefix]),
      );
      await this.#redis.subscribe(CHANNEL);
    } catch (error) {
      if (!isRedisUnavailable(error)) this.#events.failed(error);
      this.#redis.disconnect(true);
      return;
    }
    clearTimeout(this.#silence);
    this.#up = true;
    this.#events.up(since);
    this.#redis.emit('tracking');
    this.#sendHeartbeat();
  }

  #sendHeartbeat(): void {
    this.#heartbeat = setTimeout(() => {
      const since = this.#clock();
      this.#expectAnswer();
      this.#redis.ping().then(
        () => {
          clearTimeout(this.#silence);
          if (!this.#up) return;
          this.#events.proven(since);
          this.#sendHeartbeat();
        },
        () => undefined,
      );
    }, HEARTBEAT);
  }

  #expectAnswer(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      // A frozen peer does not close the connection, so the loss counts from here.
      this.#lost();
      this.#redis.disconnect(true);
    }, SILENCE);
  }

  #onInvalidation(message: unknown): void {
    if (!Array.isArray(message)) {
      this.#events.invalid(null);
      return;
    }
    for (const key of message as unknown[]) this.#events.invalid(String(key));
  }

  #lost(): void {
    clearTimeout(this.#heartbeat);
    clearTimeout(this.#silence);
    if (!this.#up) return;
    this.#up = false;
    this.#events.down();
  }
}
