import type { ConnectionOptions } from 'node:tls';
import { BootError } from '@ephemera/domain';
import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';

/** The address of a Redis server, and its TLS material. */
export interface RedisAddress {
  /** `redis://` or `rediss://`, with user, password and database number. */
  readonly url: string;
  /** For `rediss://`: the trusted CA, and the client certificate with its key; PEM. */
  readonly tls?:
    | {
        readonly ca?: string | undefined;
        readonly cert?: string | undefined;
        readonly key?: string | undefined;
      }
    | undefined;
}

/** Splits an address into URL and TLS options. A bare URL trusts the system's certificates. */
export function readAddress(address: string | RedisAddress): {
  url: string;
  tls: { tls?: ConnectionOptions };
} {
  if (typeof address === 'string') return { url: address, tls: {} };
  const { url, tls = {} } = address;
  if (!url.startsWith('rediss:')) return { url, tls: {} };
  const input = Object.entries(tls).filter(([, pem]) => pem !== undefined);
  return { url, tls: { tls: Object.fromEntries(input) } };
}

/**
 * `request`: commands fail at once while Redis is unavailable; for code that serves a client.
 * `job`: commands wait until Redis is back; for code that processes queue jobs.
 * `watch`: commands have no timeout, because blocking reads wait; they fail at once when the
 * connection is lost.
 */
export type ConnectionProfile = 'request' | 'job' | 'watch';

const PROFILES = {
  request: { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2_000 },
  job: { maxRetriesPerRequest: null },
  watch: { enableOfflineQueue: false, maxRetriesPerRequest: 0 },
} as const satisfies Readonly<Record<ConnectionProfile, RedisOptions>>;

/**
 * Creates a connection that reconnects forever, at most 500 ms apart. Calls `onError` for each
 * failure.
 */
export function connectRedis(
  address: string | RedisAddress,
  profile: ConnectionProfile,
  onError: (error: Error) => void,
): Redis {
  const { url, tls } = readAddress(address);
  const redis = new Redis(url, {
    ...tls,
    retryStrategy: (attempt) => Math.min(50 * attempt, 500),
    enableReadyCheck: true,
    reconnectOnError,

    ...PROFILES[profile],
  });
  redis.on('error', onError);
  return redis;
}

/**
 * A master that was demoted to a replica keeps its connections open and refuses every write. A new
 * connection reaches the new master; returning 2 makes ioredis send the command again there.
 */
function reconnectOnError({ message }: Error): boolean | 1 | 2 {
  if (message.startsWith('READONLY')) return 2;
  return message.startsWith('UNBLOCKED') && 1;
}

/** How long start-up waits for the first reply, milliseconds. */
const FIRST_ANSWER = 5_000;

/**
 * Checks that Redis answers before anything else starts.
 * @throws BootError that names the address, without its password
 */
export async function requireRedis(redis: Redis, address: string | RedisAddress): Promise<void> {
  const { url } = readAddress(address);
  let last: Error | undefined;
  const note = (error: Error) => (last = error);
  redis.on('error', note);
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(last ?? new Error('no answer')), FIRST_ANSWER);
  });
  try {
    await Promise.race([ready(redis), timeout]);
  } catch (error) {
    redis.disconnect();
    const reason = error instanceof Error ? error.message : String(error);
    throw new BootError(
      `Redis does not answer at ${withoutPassword(url)}: ${reason}. Start Redis, or set EPHEMERA_REDIS_URL.`,
      { cause: error },
    );
  } finally {
    clearTimeout(timer);
    redis.off('error', note);
  }
}

async function ready(redis: Redis): Promise<void> {
  if (redis.status !== 'ready') {
    await new Promise<void>((resolve) => redis.once('ready', () => resolve()));
  }
  await redis.ping();
}

function withoutPassword(url: string): string {
  const parsed = new URL(url);
  if (parsed.password) parsed.password = '***';
  return parsed.href;
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
