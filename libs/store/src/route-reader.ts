import type { Route } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';

/** A route as this process knows it; times are monotonic milliseconds. */
export interface CachedRoute {
  readonly route: Route;
  /** End of the lease that its read gave, counted from when the read was sent. */
  readonly validUntil: number;
  /** `expiresAt` on the monotonic clock; Infinity unless the route is ready. */
  readonly deadline: number;
}

/** What Redis says of some ids, in their order: a route, or undefined for an id it does not know. */
export type RouteAnswers = readonly (CachedRoute | undefined)[];

/** Leaves room for an answer to the visitor within 250 ms. */
const TIMEOUT = 200;
/** So many reads in a row without an answer, however late, tell that Redis is away. */
const UNAVAILABLE_AFTER_MS = 4;
/** Reads that are closer together than this tell the same, ms. */
const SILENCE_INTERVAL_MS = 300;
/** While Redis is silent, one read in this time finds out whether it is back. */
const RETRY_DELAY_MS = 500;

/** Reads routes, and gives up quickly: a Redis that is away must not hold up a visitor. */
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

  /** Whether Redis has not answered for a while, rather than been late. */
  get isUnavailable(): boolean {
    return this.#silences >= UNAVAILABLE_AFTER_MS;
  }

  /** Whether reads reach Redis; one that is late does not change that. */
  get isConnected(): boolean {
    return this.#redis.status === 'ready' && !this.isUnavailable;
  }

  /** The routes of some ids as Redis has them now; undefined where it does not answer in time. */
  async read(ids: readonly string[]): Promise<RouteAnswers | undefined> {
    if (!this.available) {
      if (this.#redis.status !== 'ready') this.#noteSilence();
      return undefined;
    }
    const sentAt = this.#clock();
    const answer = this.#redis
      .pipeline()
      .time()
      .mget(ids.map((id) => this.#keys.route(id)))
      .exec()
      .then((answer) => {
        // A command that timed out is an entry with an error, and no answer.
        if (answer?.some(([error]) => error === null)) this.#noteAnswer();
        return answer;
      })
      .catch(() => undefined);
    const [time, values] = (await this.#orSilence(answer)) ?? [];
    if (!time || !values || time[0] || values[0]) return undefined;
    const [seconds, micros] = time[1] as [string, string];
    const redisNow = Number(seconds) * 1000 + Number(micros) / 1000;
    return (values[1] as (string | null)[]).map((text) =>
      text === null ? undefined : this.#leased(JSON.parse(text) as Route, sentAt, redisNow),
    );
  }

  /** Counting from when the read was sent puts every deadline a little early, never late. */
  #leased(route: Route, sentAt: number, redisNow: number): CachedRoute {
    return {
      route,
      validUntil: sentAt + this.#lease,
      deadline: route.state === 'ready' ? sentAt + route.expiresAt - redisNow : Infinity,
    };
  }

  /** However late it is: Redis is there, and whoever asks next need not be sent away. */
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

  /** What is answered within `TIMEOUT`, and one turn of the event loop. */
  async #orSilence<T>(answer: Promise<T>): Promise<T | undefined> {
    let timer: NodeJS.Timeout | undefined;
    let turn: NodeJS.Immediate | undefined;
    const silence = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => {
        // A process that stood still has not listened: what came meanwhile is read in this turn.
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
