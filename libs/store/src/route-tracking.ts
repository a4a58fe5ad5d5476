import { Redis } from 'ioredis';
import { readAddress } from './connect-redis.ts';
import type { RedisAddress } from './connect-redis.ts';

/** What the invalidation connection tells of; every call comes in the order of the connection. */
export interface TrackingEvents {
  /** From now on every change is told. `since` is when that was asked for, monotonic ms. */
  up(since: number): void;
  /** Whatever changed before `since` (monotonic ms) has been told by now. */
  proven(since: number): void;
  /** The value at this key changed, expired or went away; null: all of them. */
  invalid(key: string | null): void;
  /** Changes may be missed from now on. */
  down(): void;
}

const CHANNEL = '__redis__:invalidate';
const HEARTBEAT = 1_000;
/** A connection that does not answer for this long is given up: the pushes are not coming either. */
const SILENCE = 2_000;

/**
 * The connection that `RouteTracking` wants. ioredis drops RESP3's pushes silently, and would
 * resubscribe by itself without the tracking: so protocol 2, and everything is set up anew by
 * hand on each `ready`.
 */
export function connectTracking(
  address: string | RedisAddress,
  onError: (error: Error) => void,
): Redis {
  const { url, tls } = readAddress(address);
  const redis = new Redis(url, {
    ...tls,
    protocol: 2,
    autoResubscribe: false,
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    connectTimeout: 2_000,
    disconnectTimeout: 200,
    retryStrategy: (attempt) => Math.min(50 * attempt, 500),
  });
  redis.on('error', onError);
  return redis;
}

/** Makes the subscription of a route cache; `start` begins it. */
export function trackRoutes(
  redis: Redis,
  prefixes: readonly string[],
  events: TrackingEvents,
  clock: () => number,
): RouteTracking {
  return new RouteTracking(redis, prefixes, events, clock);
}

/**
 * Hears of every change below some key prefixes, by Redis' broadcasting client tracking
 * (CLIENT TRACKING … BCAST), redirected to a subscription on the same connection.
 *
 * A heartbeat on that connection proves that nothing is outstanding: Redis pushes what was
 * written before it read the PING ahead of the PONG.
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

  /** Resolves as soon as the first attempt to connect has succeeded or failed; it goes on trying. */
  async start(): Promise<void> {
    this.#redis.on('connect', () => this.#expectAnswer());
    this.#redis.on('ready', () => void this.#subscribe());
    this.#redis.on('close', () => this.#lost());
    this.#redis.on('messageBuffer', (channel: Buffer | string, message: unknown) => {
      if (String(channel) === CHANNEL) this.#told(message);
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
    } catch {
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
      // A peer that is frozen does not even close: the loss counts from here.
      this.#lost();
      this.#redis.disconnect(true);
    }, SILENCE);
  }

  #told(message: unknown): void {
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
