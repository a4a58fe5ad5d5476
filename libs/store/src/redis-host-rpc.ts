import { randomUUID } from 'node:crypto';
import type {
  HostRequest,
  HostRequestInput,
  HostRpc,
  HostReplyTo,
  HostTarget,
} from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';

/** How long a request waits for its reply, ms. It stays in the host's list as long. */
const TIMEOUT_MS = 10_000;

/** A request in a host's list, with the channel for the reply. */
export interface SentHostRequest {
  readonly number: string;
  readonly replyTo: string;
  readonly request: HostRequest;
}

/**
 * Calls hosts over Redis. Requests go to one list per host; replies come on one channel per
 * replica. A request that no worker takes expires with its list.
 */
export class RedisHostRpc implements HostRpc {
  readonly #redis: Redis;
  readonly #subscriber: Redis;
  readonly #keys: Keys;
  readonly #replyTo: string;
  readonly #timeoutMs: number;
  readonly #waiting = new Map<string, (reply: unknown) => void>();

  /**
   * @param options.subscriber a dedicated connection, because a subscribed connection accepts no
   * other commands
   */
  constructor(options: { redis: Redis; subscriber: Redis; keys: Keys; timeoutMs?: number }) {
    this.#redis = options.redis;
    this.#subscriber = options.subscriber;
    this.#keys = options.keys;
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#replyTo = this.#keys.rpcReplies(randomUUID());
    this.#subscriber.on('message', (_channel: string, text: string) => this.#answered(text));
  }

  async start(): Promise<void> {
    await this.#subscriber.subscribe(this.#replyTo);
  }

  stop(): void {
    this.#subscriber.disconnect();
    for (const answer of this.#waiting.values()) answer(undefined);
  }

  async request<A extends HostRequestInput>(
    host: string,
    request: A & HostTarget,
  ): Promise<HostReplyTo<A> | undefined> {
    const number = randomUUID();
    const { promise, resolve } = Promise.withResolvers<unknown>();
    this.#waiting.set(number, resolve);
    const timer = setTimeout(resolve, this.#timeoutMs, undefined);
    try {
      const sent: SentHostRequest = { number, replyTo: this.#replyTo, request };
      const list = this.#keys.hostRpc(host);
      await this.#redis
        .multi()
        .rpush(list, JSON.stringify(sent))
        .pexpire(list, this.#timeoutMs)
        .exec();
      return (await promise) as HostReplyTo<A> | undefined;
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
