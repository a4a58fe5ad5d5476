import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, isFailure, nameReference } from '@ephemera/domain';
import type { Endpoint, NameRoute } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import { KeyedSignal } from './keyed-signal.ts';
import type { Keys } from './keys.ts';
import { DatasetWatch } from './datasets.ts';
import { HostNetworks } from './host-networks.ts';
import { type DropListener, KnownRoutes } from './known-routes.ts';
import {
  type CachedRoute,
  type RouteAnswers,
  RouteReader,
  type StoreAnswer,
} from './route-reader.ts';
import { trackRoutes } from './route-tracking.ts';
import type { RouteTracking } from './route-tracking.ts';

export interface RouteCacheOptions {
  /** The connection for reads. It must fail at once while Redis is unavailable. */
  readonly redis: Redis;
  /** Creates the dedicated connection for invalidations: `connectTracking`. */
  readonly trackingRedis: () => Redis;
  readonly keys: Keys;
  /** Subscribes to the invalidations. */
  readonly trackRoutes?: typeof trackRoutes;
  /** Receives the error of a subscription that Redis refused. It is tried again. */
  readonly onError?: (error: unknown) => void;
  /** How long a route may be used without proof that it is current, ms. */
  readonly lease?: number;
  /**
   * How long known routes serve while Redis is unavailable, ms since they were known to be current.
   */
  readonly grace?: number;
  /** Maximum number of routes in memory. */
  readonly capacity?: number;
  /** Monotonic milliseconds. */
  readonly clock?: () => number;
}

/** What a cache has counted since its start. */
export interface RouteCacheCounts {
  /** Look-ups that a current route in memory answered. */
  readonly hits: number;
  /** Look-ups that had to read Redis, or to wait for such a read. */
  readonly misses: number;
  /** Changes of routes that Redis has pushed. */
  readonly invalidations: number;
}

/**
 * A read in flight. `invalidated`: a change was pushed meanwhile, so the answer may be outdated.
 */
interface Read {
  invalidated: boolean;
  promise: Promise<CachedRoute | undefined>;
}

/**
 * Waiting requests read the route again at this interval, in case an invalidation was missed; ms.
 */
const RECHECK_INTERVAL_MS = 2_000;
/** Redis counts as unavailable when the invalidation connection has been lost for this long, ms. */
const UNAVAILABLE_AFTER_MS = 1_000;
/**
 * How long a confirmation waits for a Redis that is slow but available, and how often it retries,
 * ms.
 */
const CONFIRM_TIMEOUT_MS = 8_000;
const CONFIRM_INTERVAL_MS = 100;
const RELOAD_BATCH = 500;
const RELOAD_PAUSE = 500;

/**
 * Routes by id, in memory. Each is used only while it is known to be current:
 *
 * - Redis pushes each change, which drops the route at once. A read in flight when the push arrives
 *   is repeated, because its answer may be from before the change.
 * - A route is leased: for `lease` ms from when its read was sent, or from when a heartbeat of the
 *   invalidation connection was sent. The reply to a heartbeat proves that no push is outstanding.
 * - A lost invalidation connection makes all routes stale: each is read again before it is used.
 *   While Redis is unavailable, stale routes serve for `grace` ms. When Redis is back, all are read
 *   again at once.
 */
export class RouteCache {
  readonly #lease: number;
  readonly #grace: number;
  readonly #clock: () => number;
  readonly #keys: Keys;
  readonly #reader: RouteReader;
  readonly #tracking: RouteTracking;
  readonly #networks: HostNetworks;
  readonly #dataset: DatasetWatch;
  readonly #signals = new KeyedSignal();
  readonly #reads = new Map<string, Set<Read>>();
  /** Stale routes are those read before the invalidation connection was lost. */
  readonly #known: KnownRoutes;
  /** The last route that was dropped of each generation whose end is not known yet. */
  readonly #unresolved = new Map<string, CachedRoute>();
  #tracked = false;
  #hits = 0;
  #misses = 0;
  #invalidations = 0;
  /** When the invalidation connection was last lost. */
  #lostAt = Number.NEGATIVE_INFINITY;
  /**
   * Incremented when the invalidation connection comes up or goes down; a reload belongs to one
   * epoch.
   */
  #epoch = 0;
  /** When all fresh routes, and all stale routes, were last known to be current. */
  #provenAt = Number.NEGATIVE_INFINITY;
  #staleProvenAt = Number.NEGATIVE_INFINITY;

  constructor(options: RouteCacheOptions) {
    this.#lease = options.lease ?? 5_000;
    this.#grace = options.grace ?? 30_000;
    this.#known = new KnownRoutes(options.capacity ?? 200_000);
    this.#clock = options.clock ?? (() => performance.now());
    this.#keys = options.keys;
    this.#reader = new RouteReader(options.redis, options.keys, this.#lease, this.#clock);
    this.#networks = new HostNetworks(this.#reader, {
      lease: this.#lease,
      grace: this.#grace,
      clock: this.#clock,
    });
    this.#dataset = new DatasetWatch(() => this.#reader.readReports(), this.#clock);
    this.#tracking = (options.trackRoutes ?? trackRoutes)(
      options.trackingRedis(),
      [options.keys.routePrefix, options.keys.registrationPrefix, options.keys.dataset],
      {
        up: (since) => this.#trackingUp(since),
        proven: (since) => this.#proven(since),
        invalid: (key) => this.#invalidate(key),
        down: () => this.#trackingDown(),
        failed: (error) => options.onError?.(error),
      },
      this.#clock,
    );
  }

  /** Resolves when the invalidation connection is up or has failed once. It keeps reconnecting. */
  start(): Promise<void> {
    return this.#tracking.start();
  }

  stop(): Promise<void> {
    this.#tracking.stop();
    this.#trackingDown();
    this.#signals.notifyAll();
    return Promise.resolve();
  }

  /** Whether reads and invalidations both work. A single slow read does not change this. */
  get connected(): boolean {
    return (
      this.#tracked && this.#reader.isConnected && this.#clock() < this.#provenAt + this.#lease
    );
  }

  /** Routes held in memory. */
  get size(): number {
    return this.#known.size;
  }

  /** Counts since the start. */
  get counts(): RouteCacheCounts {
    return { hits: this.#hits, misses: this.#misses, invalidations: this.#invalidations };
  }

  /** Returns the route if it is in memory, current, and before its deadline. */
  peek(id: string): CachedRoute | undefined {
    const entry = this.#known.fresh.get(id);
    if (entry === undefined) return undefined;
    const now = this.#clock();
    if (now >= entry.deadline) return undefined;
    if (now >= entry.validUntil && now >= this.#provenAt + this.#lease) return undefined;
    this.#hits++;
    return entry;
  }

  /**
   * Returns the route from memory or from Redis; undefined for an unknown id. A ready route may be
   * past its `deadline`; the caller must then refuse it.
   * @throws ApiError `store_unavailable` where Redis is unavailable and nothing usable is known;
   * `rebuilding` where Redis has lost its data and a host may still restore the instance
   */
  async find(id: string): Promise<CachedRoute | undefined> {
    const fresh = this.peek(id);
    if (fresh) return fresh;
    this.#misses++;
    const [inFlight] = this.#reads.get(id) ?? [];
    return await (inFlight ?? this.#read(id)).promise;
  }

  /**
   * Returns the route as read after this call, so it reflects every earlier change. Uses memory
   * only where Redis is unavailable, not where it is merely slow. A slow Redis still lets other
   * processes end an instance and give its address to another one. Otherwise like `find`.
   *
   * @param host whose registration is read in the same step, for `isRegistered`
   */
  async confirm(id: string, host?: string): Promise<CachedRoute | undefined> {
    const askedAt = this.#clock();
    for (;;) {
      const found = await this.#read(id, host).promise;
      if (found === undefined || found.validUntil - this.#lease >= askedAt) return found;
      if (this.#isUnavailable) return found;
      if (this.#clock() >= askedAt + CONFIRM_TIMEOUT_MS) break;
      await sleep(CONFIRM_INTERVAL_MS);
    }
    throw new ApiError({ kind: 'store_unavailable' });
  }

  /** As `peek`, for a stable name. Its route is cached and invalidated like that of an id. */
  peekName(name: string): NameRoute | undefined {
    return asNameRoute(this.peek(nameReference(name)));
  }

  /** As `find`, for a stable name. */
  async findName(name: string): Promise<NameRoute | undefined> {
    return asNameRoute(await this.find(nameReference(name)));
  }

  /** As `confirm`, for a stable name. */
  async confirmName(name: string): Promise<NameRoute | undefined> {
    return asNameRoute(await this.confirm(nameReference(name)));
  }

  /**
   * Returns whether the endpoint of a route or an instance is one that its host has registered. Two hosts may have used the same addresses, but at most one has them registered
   * now.
   * @throws ApiError `store_unavailable` where Redis is unavailable and nothing usable is known
   */
  isRegistered(host: string | undefined, endpoint: Endpoint): Promise<boolean> {
    return this.#networks.admits(host, endpoint);
  }

  get #isUnavailable(): boolean {
    const lostFor = this.#tracked ? 0 : this.#clock() - this.#lostAt;
    return lostFor >= UNAVAILABLE_AFTER_MS && this.#reader.isUnavailable;
  }

  /**
   * Waits until the route satisfies `until`. Returns the last known route when the timeout has
   * passed or the signal was aborted.
   * @throws like `find`
   */
  async waitFor(
    id: string,
    until: (route: CachedRoute | undefined) => boolean,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<CachedRoute | undefined> {
    const end = this.#clock() + timeoutMs;
    for (;;) {
      const subscription = this.#signals.subscribe(id, signal);
      try {
        const found = await this.find(id);
        const remaining = end - this.#clock();
        if (until(found) || remaining <= 0 || signal?.aborted === true) return found;
        await subscription.wait(Math.min(remaining, RECHECK_INTERVAL_MS));
      } finally {
        subscription.dispose();
      }
    }
  }

  /** Adds a listener for each ready generation that was in memory and is no longer current. */
  onDrop(listener: DropListener): void {
    this.#known.onDrop(listener);
  }

  #read(id: string, host?: string): Read {
    const read: Read = { invalidated: false, promise: Promise.resolve(undefined) };
    const reads = this.#reads.get(id) ?? new Set();
    this.#reads.set(id, reads.add(read));
    read.promise = this.#readUntilClean(id, read, host).finally(() => {
      reads.delete(read);
      if (reads.size === 0) this.#reads.delete(id);
    });
    return read;
  }

  async #readUntilClean(
    id: string,
    read: Read,
    host: string | undefined,
  ): Promise<CachedRoute | undefined> {
    for (;;) {
      read.invalidated = !this.#tracked;
      const networks = this.#networks.beginRead();
      const answer = await this.#reader.read([id], host === undefined ? [] : [host]);
      if (answer === undefined) return this.#whileUnavailable(id);
      const { routes, registrations, dataset, sentAt } = answer;
      this.#dataset.note(dataset);
      if (host !== undefined) {
        this.#networks.keep(host, registrations[0] ?? null, sentAt, networks);
      }
      if (read.invalidated && this.#tracked) continue;
      // Connections to a known route stay open meanwhile, as while Redis is slow.
      if (!routes[0] && !(await this.#dataset.confirmsAbsence(dataset))) continue;
      // Without tracking, no change would be pushed: the answer serves this call, and is stored as
      // stale.
      if (!read.invalidated || !this.#tracked) {
        this.#known.keep(id, routes[0], !read.invalidated);
        return routes[0];
      }
    }
  }

  #whileUnavailable(id: string): CachedRoute | undefined {
    const fresh = this.#known.fresh.get(id);
    const known = fresh ?? this.#known.stale.get(id);
    const provenAt = fresh ? this.#provenAt : this.#staleProvenAt;
    if (known) {
      const rightAt = Math.max(provenAt, known.validUntil - this.#lease);
      if (this.#clock() < rightAt + this.#grace) return known;
    }
    throw new ApiError({ kind: 'store_unavailable' });
  }

  #invalidate(key: string | null): void {
    this.#invalidations++;
    if (key === null) {
      for (const reads of this.#reads.values()) invalidateReads(reads);
      for (const id of this.#known.ids) this.#forget(id);
      this.#networks.invalidate(null);
      this.#signals.notifyAll();
      return;
    }
    const { registrationPrefix, dataset } = this.#keys;
    if (key === dataset) {
      void this.#noteDataset();
      return;
    }
    if (key.startsWith(registrationPrefix)) {
      this.#networks.invalidate(key.slice(registrationPrefix.length));
      return;
    }
    const id = key.slice(this.#keys.routePrefix.length);
    invalidateReads(this.#reads.get(id) ?? []);
    this.#forget(id);
    this.#signals.notify(id);
  }

  /**
   * A renewal and a kill both change the route. Only a new read tells whether the generation ended.
   */
  #forget(id: string): void {
    const before = this.#known.remove(id);
    if (before?.route.state !== 'ready') return;
    void this.#notifyReplaced(id, before);
  }

  /**
   * While Redis is slow, the generation is unknown. Its connections stay open for one more lease.
   * While hosts restore their instances after a loss of all data, they stay open until the deadline.
   */
  async #notifyReplaced(id: string, before: CachedRoute): Promise<void> {
    // Leave time for one more pause and one more read before the lease ends.
    const retryUntil = () => this.#clock() + this.#lease - 2 * RELOAD_PAUSE;
    let until = retryUntil();
    const key = `${id}:${before.route.generation}`;
    this.#unresolved.set(key, before);
    let now: CachedRoute | undefined;
    for (let isKnown = false; !isKnown;) {
      try {
        now = await this.find(id);
        isKnown = true;
      } catch (error) {
        const isRebuilding = isFailure(error, 'rebuilding');
        if (isRebuilding) until = retryUntil();
        if (this.#clock() >= Math.min(until, before.deadline)) break;
        // Many routes may have changed together. The random delay spreads the reads.
        const pause = isRebuilding ? RECHECK_INTERVAL_MS : RELOAD_PAUSE;
        await sleep((pause * (1 + Math.random())) / 2);
      }
    }
    // The same generation may have been read and dropped again meanwhile. It is reported once.
    if (this.#unresolved.get(key) !== before) return;
    this.#unresolved.delete(key);
    this.#known.replaced(id, before, now);
  }

  #trackingUp(since: number): void {
    this.#tracked = true;
    this.#provenAt = since;
    this.#networks.trackingUp(since);
    this.#signals.notifyAll();
    void this.#noteDataset();
    void this.#reload(++this.#epoch);
  }

  /** The data set must be known before it is lost. */
  async #noteDataset(): Promise<void> {
    const dataset = await this.#reader.readDataset();
    if (dataset !== undefined) this.#dataset.note(dataset);
  }

  #proven(since: number): void {
    this.#provenAt = since;
    this.#networks.proven(since);
  }

  #trackingDown(): void {
    this.#tracked = false;
    this.#networks.trackingDown();
    this.#lostAt = this.#clock();
    this.#epoch++;
    this.#staleProvenAt = this.#provenAt;
    for (const reads of this.#reads.values()) invalidateReads(reads);
    this.#known.goStale();
  }

  /** Reads the stale routes again, so that listeners learn which generations ended meanwhile. */
  async #reload(epoch: number): Promise<void> {
    while (epoch === this.#epoch && this.#known.stale.size > 0) {
      const batch = this.#known.someStale(RELOAD_BATCH);
      const answer = await this.#reader.read(batch.map(([id]) => id));
      if (epoch !== this.#epoch) return;
      const isKnown = answer && (await this.#isComplete(answer));
      if (epoch !== this.#epoch) return;
      if (isKnown === true) this.#reloaded(batch, answer.routes);
      else await sleep(RELOAD_PAUSE);
    }
  }

  /** Whether every route that an answer lacks has ended. */
  async #isComplete({ routes, dataset }: StoreAnswer): Promise<boolean> {
    if (!routes.includes(undefined)) return true;
    return this.#dataset.confirmsAbsence(dataset).catch(() => false);
  }

  #reloaded(batch: readonly (readonly [string, CachedRoute])[], answers: RouteAnswers): void {
    for (const [index, [id, before]] of batch.entries()) {
      // A change that was pushed while the batch was in flight has already removed its id.
      if (this.#known.stale.get(id) === before) this.#known.keep(id, answers[index], true);
    }
  }
}

/** Under the key of a name, the scripts write a `NameRoute` and nothing else. */
function asNameRoute(found: CachedRoute | undefined): NameRoute | undefined {
  return found?.route as unknown as NameRoute | undefined;
}

function invalidateReads(reads: Iterable<Read>): void {
  for (const read of reads) read.invalidated = true;
}
