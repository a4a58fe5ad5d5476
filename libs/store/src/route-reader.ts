import type { Route } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import type { DatasetReports } from './datasets.ts';
import type { Keys } from './keys.ts';

/** A route in memory; times are monotonic milliseconds. */
export interface CachedRoute {
  readonly route: Route;
  /** End of the lease, counted from when the read was sent. */
  readonly validUntil: number;
  /** `expiresAt` on the monotonic clock; Infinity unless the route is ready. */
  readonly deadline: number;
}

/** The routes of some ids, in their order; undefined for an unknown id. */
export type RouteAnswers = readonly (CachedRoute | undefined)[];

/** The result of one read. */
export interface StoreAnswer {
  readonly routes: RouteAnswers;
  /** Registrations of the requested hosts, in their order; null: not registered. */
  readonly registrations: readonly (string | null)[];
  /** The data set at the time of the read; null: Redis has none. */
  readonly dataset: string | null;
  /** Monotonic milliseconds. */
  readonly sentAt: number;
}

/** Short enough for a response to the client within 250 ms. */
const TIMEOUT = 200;
/** Redis counts as unavailable after this many unanswered reads in a row. */
const MAX_SILENCES = 4;
/** Unanswered reads within this interval count once, ms. */
const SILENCE_INTERVAL_MS = 300;
/**
 * While Redis does not answer, at most one read per interval is sent to check whether it is back,
 * ms.
 */
const RETRY_DELAY_MS = 500;

/** Reads routes with a short timeout, so that an unavailable Redis does not delay a client. */
export class RouteReader {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #lease: number;
  readonly #clock: () => number;
  #silentUntil = Number.NEGATIVE_INFINITY;
  #silences = 0;
  #silentAt = Number.NEGATIVE_INFINITY;

  constructor(redis: Redis, keys: Keys, lease: number, clock: () => number) {
    this.#redis = redis;
    this.#keys = keys;
    this.#lease = lease;
    this.#clock = clock;
  }

  get available(): boolean {
    return this.#redis.status === 'ready' && this.#clock() >= this.#silentUntil;
  }

  /** Whether several reads in a row got no answer, not even a late one. */
  get isUnavailable(): boolean {
    return this.#silences >= MAX_SILENCES;
  }

  /** Whether reads reach Redis. A single late answer does not change this. */
  get isConnected(): boolean {
    return this.#redis.status === 'ready' && !this.isUnavailable;
  }

  /**
   * Reads the routes of some ids and the registrations of some hosts in one step. Returns undefined
   * where Redis does not answer in time.
   */
  async read(
    ids: readonly string[],
    hosts: readonly string[] = [],
  ): Promise<StoreAnswer | undefined> {
    if (!this.available) {
      if (this.#redis.status !== 'ready') this.#noteSilence();
      return undefined;
    }
    const sentAt = this.#clock();
    const answer = this.#redis
      .pipeline()
      .time()
      .mget([
        ...ids.map((id) => this.#keys.route(id)),
        ...hosts.map((host) => this.#keys.registration(host)),
        this.#keys.dataset,
      ])
      .exec()
      .then((answer) => {
        // A command that timed out appears as an entry with an error.
        if (answer?.some(([error]) => error === null)) this.#noteAnswer();
        return answer;
      })
      .catch(() => undefined);
    const [time, values] = (await this.#orSilence(answer)) ?? [];
    if (!time || !values || time[0] || values[0]) return undefined;
    const [seconds, micros] = time[1] as [string, string];
    const redisNow = Number(seconds) * 1000 + Number(micros) / 1000;
    const texts = values[1] as (string | null)[];
    const routes = texts
      .slice(0, ids.length)
      .map((text) =>
        text === null ? undefined : this.#leased(JSON.parse(text) as Route, sentAt, redisNow),
      );
    return {
      routes,
      registrations: texts.slice(ids.length, -1),
      dataset: texts.at(-1) ?? null,
      sentAt,
    };
  }

  /** Reads the data set; null where Redis has none, undefined where it does not answer. */
  async readDataset(): Promise<string | null | undefined> {
    if (!this.available) return undefined;
    return this.#redis.get(this.#keys.dataset).catch(() => undefined);
  }

  /** Reads which hosts are alive and have reported; undefined where Redis does not answer in time. */
  async readReports(): Promise<DatasetReports | undefined> {
    if (!this.available) return undefined;
    const answer = this.#redis
      .pipeline()
      .time()
      .get(this.#keys.dataset)
      .zrange(this.#keys.hosts, '0', '-1', 'WITHSCORES')
      .smembers(this.#keys.reported)
      .exec()
      .catch(() => undefined);
    const replies = (await this.#orSilence(answer)) ?? [];
    if (replies.length === 0 || replies.some(([error]) => error !== null)) return undefined;
    const [time, dataset, flat, reported] = replies.map(([, value]) => value) as [
      [string, string],
      string | null,
      string[],
      string[],
    ];
    const seenAt = new Map<string, number>();
    for (let i = 0; i + 1 < flat.length; i += 2) seenAt.set(flat[i] ?? '', Number(flat[i + 1]));
    const now = Number(time[0]) * 1000 + Number(time[1]) / 1000;
    return { now, dataset, seenAt, reported: new Set(reported) };
  }

  /** Deadlines count from when the read was sent. So each is slightly early, never late. */
  #leased(route: Route, sentAt: number, redisNow: number): CachedRoute {
    return {
      route,
      validUntil: sentAt + this.#lease,
      deadline: route.state === 'ready' ? sentAt + route.expiresAt - redisNow : Infinity,
    };
  }

  /** Even a late answer shows that Redis is available, so the next read is sent at once. */
  #noteAnswer(): void {
    this.#silences = 0;
    this.#silentUntil = Number.NEGATIVE_INFINITY;
  }

  #noteSilence(): void {
    const now = this.#clock();
    if (now < this.#silentAt + SILENCE_INTERVAL_MS) return;
    this.#silentAt = now;
    this.#silences++;
  }

  /** Returns the answer if it arrives within `TIMEOUT` plus one turn of the event loop. */
  async #orSilence<T>(answer: Promise<T>): Promise<T | undefined> {
    let timer: NodeJS.Timeout | undefined;
    let turn: NodeJS.Immediate | undefined;
    const silence = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => {
        // If the process was stalled, the answer may already be in the socket: this turn reads it.
        turn = setImmediate(() => {
          this.#noteSilence();
          this.#silentUntil = this.#clock() + RETRY_DELAY_MS;
          resolve(undefined);
        });
      }, TIMEOUT);
    });
    try {
      return await Promise.race([answer, silence]);
    } finally {
      clearTimeout(timer);
      clearImmediate(turn);
    }
  }
}
