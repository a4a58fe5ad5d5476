import { isSentinelUrl, sentinelOptions, tlsOptions } from '@ephemera/domain';
import type { RedisAddress } from '@ephemera/domain';
import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import { closeDeadConnections } from './dead-peer.ts';
import { endOnDisconnect } from './end-on-disconnect.ts';
import { followFailovers } from './failover-watch.ts';

/**
 * `request`: commands fail at once while Redis is unavailable; for code that serves a client.
 * `job`: commands wait until Redis is back; for code that processes queue jobs.
 * `watch`: commands have no timeout, because blocking reads wait; they fail at once when the
 * connection is lost.
 */
export type ConnectionProfile = 'request' | 'job' | 'watch';

/**
 * The longest time without any data from Redis on a connection that always has a blocking read, ms.
 * Longer than the longest of these reads.
 */
const WATCH_SILENCE_MS = 7_000;

const PROFILES = {
  request: { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2_000 },
  job: { maxRetriesPerRequest: null },
  watch: {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    socketTimeout: WATCH_SILENCE_MS,
  },
} as const satisfies Readonly<Record<ConnectionProfile, RedisOptions>>;

/** Timeouts of every connection. An attempt must not wait for a machine that is gone; ms. */
const TIMEOUTS = {
  connectTimeout: 2_000,
  disconnectTimeout: 200,
  sentinelCommandTimeout: 1_000,
} as const satisfies RedisOptions;

/**
 * Creates a connection that reconnects forever, at most 500 ms apart, and notices a dead peer within
 * 10 s. With Sentinel, it goes to the present master, and leaves it at a failover. Calls `onError` for
 * each failure.
 * @param address a bare URL trusts the system's certificates
 */
export function connectRedis(
  address: string | RedisAddress,
  profile: ConnectionProfile,
  onError: (error: Error) => void,
): Redis {
  const redis = openRedis(address, {
    enableReadyCheck: true,
    reconnectOnError,
    ...PROFILES[profile],
  });
  redis.on('error', onError);
  if (profile !== 'watch') closeDeadConnections(redis);
  followFailovers(redis, address);
  return redis;
}

/**
 * Creates the connection for `RouteTracking`. ioredis drops RESP3 pushes silently, and its
 * automatic resubscription does not restore the tracking. So it uses RESP2, and each `ready` sets
 * up the tracking again. `RouteTracking` notices a dead peer itself.
 */
export function connectTracking(
  address: string | RedisAddress,
  onError: (error: Error) => void,
): Redis {
  const redis = openRedis(address, {
    protocol: 2,
    autoResubscribe: false,
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
  });
  redis.on('error', onError);
  followFailovers(redis, address);
  return redis;
}

type Options = RedisOptions & { readonly replyMapping?: 'legacy' };

function openRedis(address: string | RedisAddress, options: Options): Redis {
  const read = typeof address === 'string' ? { url: address } : address;
  const retryStrategy = (attempt: number) => Math.min(50 * attempt, 500);
  const common: Options = Object.assign(
    { ...TIMEOUTS, retryStrategy, sentinelRetryStrategy: retryStrategy },
    options,
  );
  return endOnDisconnect(
    isSentinelUrl(read.url)
      ? new Redis(Object.assign(common, sentinelOptions(read)))
      : new Redis(read.url, Object.assign(common, tlsOptions(read))),
  );
}

/**
 * A master that was demoted to a replica keeps its connections open and refuses every write. A new
 * connection reaches the new master; returning 2 makes ioredis send the command again there.
 */
function reconnectOnError({ message }: Error): boolean | 1 | 2 {
  if (message.startsWith('READONLY')) return 2;
  return message.startsWith('UNBLOCKED') && 1;
}

/**
 * Returns whether an error means that Redis is unreachable or rejects writes for the moment. Other
 * errors mean that Redis refused this command.
 */
export function isRedisUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return (
    error.name === 'MaxRetriesPerRequestError' ||
    error.name === 'AbortError' ||
    /connection is closed|isn't writeable|command timed out|ECONNREFUSED|ECONNRESET|ETIMEDOUT|LOADING|READONLY|MASTERDOWN|MISCONF|NOREPLICAS|OOM command/i.test(
      error.message,
    )
  );
}
