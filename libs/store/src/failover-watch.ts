import { lookup } from 'node:dns/promises';
import { BlockList, isIPv6 } from 'node:net';
import { isSentinelUrl, parseSentinelUrl, sentinelNodeOptions } from '@ephemera/domain';
import type { RedisAddress } from '@ephemera/domain';
import { Redis } from 'ioredis';
import { closeDeadConnections, reconnect } from './dead-peer.ts';
import { endOnDisconnect } from './end-on-disconnect.ts';

const CHANNEL = '+switch-master';
const RETRY_MS = 1_000;

/** One watch serves all connections of a process to one address. */
const watches = new WeakMap<RedisAddress, FailoverWatch>();

/**
 * Reconnects a connection that is not at the master that the sentinels have elected: when they elect
 * another one, and when a new connection was led to an old one by a sentinel that does not know better.
 * An old master that is cut off from the sentinels still answers reads, with data that becomes older
 * and older. Covers the duplicates of the connection. Does nothing for an address without sentinels.
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

/** What a sentinel says of the master. Each failover increments the epoch. */
interface Statement {
  readonly epoch: number;
  /** An address, or a name where the sentinels announce names. */
  readonly host: string;
  readonly port: number;
}

/**
 * A subscription to every sentinel. ioredis has one per connection (`failoverDetector`): with three
 * sentinels, three further connections for each connection to Redis.
 */
class FailoverWatch {
  readonly #master: string;
  readonly #connections = new Set<Redis>();
  readonly #sentinels: readonly Redis[];
  /** What the sentinels say that are connected now. */
  readonly #statements = new Map<Redis, Statement>();
  /** The epoch of the newest failover that is known. */
  #epoch = 0;
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
      sentinel.on('close', () => this.#statements.delete(sentinel));
      sentinel.on('message', (_channel: string, text: string) => {
        if (text.startsWith(`${this.#master} `)) void this.#subscribe(sentinel);
      });
      closeDeadConnections(sentinel);
      return sentinel;
    });
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  add(redis: Redis): void {
    this.#connections.add(redis);
    redis.on('ready', () => {
      // A duplicate may be opened again after its end.
      this.#connections.add(redis);
      void this.#leaveOther(redis);
    });
    redis.on('end', () => {
      this.#connections.delete(redis);
      if (this.#connections.size === 0) this.#close();
    });
    const duplicate = redis.duplicate.bind(redis);
    redis.duplicate = (override) => {
      const copy = duplicate(override);
      this.add(copy);
      return copy;
    };
  }

  #close(): void {
    this.#isClosed = true;
    for (const sentinel of this.#sentinels) sentinel.disconnect();
  }

  /**
   * Reads the statement of a sentinel and subscribes to its next failover. The message of a failover
   * has no epoch, and a subscribed connection takes no other command, so each message repeats this.
   */
  async #subscribe(sentinel: Redis): Promise<void> {
    try {
      if (sentinel.mode === 'subscriber') await sentinel.unsubscribe(CHANNEL);
      // Sent together: a failover between them is in an answer or in a message. During a failover,
      // MASTER has the new epoch with the old address, so it gives the epoch only, and comes first.
      const [fields, found] = (await Promise.all([
        sentinel.call('SENTINEL', 'MASTER', this.#master),
        sentinel.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', this.#master),
        sentinel.subscribe(CHANNEL),
      ])) as [string[], [string, string], unknown];
      const epoch = Number(fields[fields.indexOf('config-epoch') + 1]);
      this.#statements.set(sentinel, { epoch, host: found[0], port: Number(found[1]) });
    } catch {
      // A sentinel that starts does not know the master yet.
      setTimeout(() => reconnect(sentinel), RETRY_MS).unref();
      return;
    }
    for (const redis of this.#connections) void this.#leaveOther(redis);
  }

  /**
   * The newest statement. An older one than before counts only if no sentinel of a majority knows a
   * newer one: after the sentinels were set up again, or if a failover was lost with its sentinel.
   */
  get #newest(): Statement | undefined {
    const statements = [...this.#statements.values()].sort((a, b) => b.epoch - a.epoch);
    const [newest] = statements;
    const isMajority = statements.length > this.#sentinels.length / 2;
    if (!newest || (newest.epoch < this.#epoch && !isMajority)) return undefined;
    this.#epoch = newest.epoch;
    return newest;
  }

  /** Reconnects a connection to another server than the master. It asks the next sentinel then. */
  async #leaveOther(redis: Redis): Promise<void> {
    const newest = this.#newest;
    // Before the first connect there is no stream, whatever the type says.
    const stream = redis.stream as Redis['stream'] | undefined;
    if (!newest || stream?.remoteAddress === undefined) return;
    const isMaster =
      stream.remotePort === newest.port && (await isAddressOf(newest.host, stream.remoteAddress));
    if (!isMaster && redis.stream === stream) reconnect(redis);
  }
}

/**
 * Whether a host has an address. A name is resolved each time: its address may change without a
 * failover. Where it cannot be resolved, no connection is held to be wrong.
 */
async function isAddressOf(host: string, address: string): Promise<boolean> {
  try {
    const addresses = new BlockList();
    for (const found of await lookup(host, { all: true })) {
      addresses.addAddress(found.address, found.family === 6 ? 'ipv6' : 'ipv4');
    }
    return addresses.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
  } catch {
    return true;
  }
}
