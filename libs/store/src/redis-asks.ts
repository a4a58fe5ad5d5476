import { randomUUID } from 'node:crypto';
import type { Ask, Asks, ReplyTo } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';

/** How long an ask waits for its answer, ms; as long, it waits for a worker to take it. */
const WITHIN = 10_000;

/** An ask on its way to a host, with the channel that the answer is awaited on. */
export interface SentAsk {
  readonly number: string;
  readonly replyTo: string;
  readonly ask: Ask;
}

/**
 * Asks hosts over Redis: a list a host takes the asks, a channel a replica brings the answers.
 * Nothing is kept: an ask that nobody takes expires with its list.
 */
export class RedisAsks implements Asks {
  readonly #redis: Redis;
  readonly #subscriber: Redis;
  readonly #keys: Keys;
  readonly #replyTo: string;
  readonly #within: number;
  readonly #waiting = new Map<string, (reply: unknown) => void>();

  /** @param options.subscriber a connection of its own: it listens */
  constructor(options: { redis: Redis; subscriber: Redis; keys: Keys; within?: number }) {
    this.#redis = options.redis;
    this.#subscriber = options.subscriber;
    this.#keys = options.keys;
    this.#within = options.within ?? WITHIN;
    this.#replyTo = this.#keys.answers(randomUUID());
    this.#subscriber.on('message', (_channel: string, text: string) => this.#answered(text));
  }

  async start(): Promise<void> {
    await this.#subscriber.subscribe(this.#replyTo);
  }

  stop(): void {
    this.#subscriber.disconnect();
    for (const answer of this.#waiting.values()) answer(undefined);
  }

  async ask<A extends Ask>(host: string, ask: A): Promise<ReplyTo<A> | undefined> {
    const number = randomUUID();
    const { promise, resolve } = Promise.withResolvers<unknown>();
    this.#waiting.set(number, resolve);
    const timer = setTimeout(resolve, this.#within, undefined);
    try {
      const sent: SentAsk = { number, replyTo: this.#replyTo, ask };
      const list = this.#keys.asks(host);
      await this.#redis
        .multi()
        .rpush(list, JSON.stringify(sent))
        .pexpire(list, this.#within)
        .exec();
      return (await promise) as ReplyTo<A> | undefined;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(number);
    }
  }

  #answered(text: string): void {
    const { number, reply } = JSON.parse(text) as { number: string; reply: unknown };
    this.#waiting.get(number)?.(reply);
  }
}
