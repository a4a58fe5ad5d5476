import { isSentinelUrl, parseSentinelUrl, sentinelNodeOptions } from '@ephemera/domain';
import type { RedisAddress } from '@ephemera/domain';
import { Redis } from 'ioredis';
import { closeDeadConnections, reconnect, withDuplicates } from './dead-peer.ts';
import { endOnDisconnect } from './end-on-disconnect.ts';

const CHANNEL = '+switch-master';
const RETRY_MS = 1_000;

/** One watch serves all connections of a process to one address. */
const watches = new WeakMap<RedisAddress, FailoverWatch>();

/**
 * Reconnects a connection when the sentinels have elected another master. An old master that is cut
 * off from the sentinels still answers reads, with data that becomes older and older. Does nothing for
 * an address without sentinels.
 */
export function followFailovers(redis: Redis, address: string | RedisAddress): void {
  const read = typeof address === 'string' ? { url: address } : address;
  if (!isSentinelUrl(read.url)) return;
  let watch = watches.get(read);
  if (watch === undefined || watch.isClosed) {
    watch = new FailoverWatch(read);
    watches.set(read, watch);
  }
  watch.add(redis);
}

/**
 * A subscription to every sentinel. ioredis has one per connection (`failoverDetector`): with three
 * sentinels, three further connections for each connection to Redis.
 */
class FailoverWatch {
  readonly #master: string;
  readonly #connections = new Set<Redis>();
  readonly #sentinels: readonly Redis[];
  /** The epoch of the newest failover that is known. Each failover increments it. */
  #epoch: number | undefined;
  #isClosed = false;

  constructor(address: RedisAddress) {
    const { sentinels, master } = parseSentinelUrl(address.url);
    this.#master = master;
    this.#sentinels = sentinels.map((node) => {
      const sentinel = endOnDisconnect(
        new Redis({
          ...sentinelNodeOptions(node, address),
          protocol: 2,
          autoResubscribe: false,
          enableReadyCheck: false,
          enableOfflineQueue: false,
          maxRetriesPerRequest: 0,
          connectTimeout: 2_000,
          disconnectTimeout: 200,
          retryStrategy: () => RETRY_MS,
        }),
      );
      // An unreachable sentinel is no failure while others answer. The connections to Redis report
      // when none does.
      sentinel.on('error', () => undefined);
      sentinel.on('ready', () => void this.#subscribe(sentinel));
      sentinel.on('message', (_channel: string, text: string) => this.#onSwitch(text));
      closeDeadConnections(sentinel);
      return sentinel;
    });
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  add(redis: Redis): void {
    this.#connections.add(redis);
    redis.on('end', () => {
      this.#connections.delete(redis);
      if (this.#connections.size === 0) this.#close();
    });
  }

  #close(): void {
    this.#isClosed = true;
    for (const sentinel of this.#sentinels) sentinel.disconnect();
  }

  async #subscribe(sentinel: Redis): Promise<void> {
    try {
      // Sent together: a failover between the two is in the answer or in a message.
      const [fields] = await Promise.all([
        sentinel.call('SENTINEL', 'MASTER', this.#master),
        sentinel.subscribe(CHANNEL),
      ]);
      this.#noteMaster(fields as string[]);
    } catch {
      // A sentinel that starts does not know the master yet.
      setTimeout(() => reconnect(sentinel), RETRY_MS).unref();
    }
  }

  /** A failover while this sentinel was not connected shows in its epoch. */
  #noteMaster(fields: readonly string[]): void {
    const field = (name: string) => fields[fields.indexOf(name) + 1] ?? '';
    const epoch = Number(field('config-epoch'));
    const known = this.#epoch;
    this.#epoch = Math.max(epoch, known ?? 0);
    if (known !== undefined && epoch > known) this.#leaveOthers(field('ip'), field('port'));
  }

  /** @param text `name oldhost oldport newhost newport` */
  #onSwitch(text: string): void {
    const [name, , , host = '', port = ''] = text.split(' ');
    if (name === this.#master) this.#leaveOthers(host, port);
  }

  /**
   * Reconnects what is connected to another server than the master. All sentinels report a failover,
   * one after another, so a connection may have followed it already.
   */
  #leaveOthers(host: string, port: string): void {
    for (const redis of [...this.#connections].flatMap(withDuplicates)) {
      // Before the first connect there is no stream, whatever the type says.
      const { remoteAddress, remotePort } = (redis.stream as Redis['stream'] | undefined) ?? {};
      // Where the sentinels announce host names, the addresses never agree.
      if (remoteAddress !== host || String(remotePort) !== port) reconnect(redis);
    }
  }
}
