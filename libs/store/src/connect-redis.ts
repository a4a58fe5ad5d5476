import type { ConnectionOptions } from 'node:tls';
import { BootError } from '@ephemera/domain';
import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';

/** Where a Redis is, and how it is spoken to. */
export interface RedisAddress {
  /** `redis://` or `rediss://`, with user, password and number of the database. */
  readonly url: string;
  /** For `rediss://`: whom to trust, and who we are; PEM. */
  readonly tls?:
    | {
        readonly ca?: string | undefined;
        readonly cert?: string | undefined;
        readonly key?: string | undefined;
      }
    | undefined;
}

/** Where to, and the options that go with it; a bare URL trusts the system's certificates. */
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
 * `request`: fails at once while Redis is away, for whoever answers a visitor.
 * `job`: waits for Redis, for whoever works off a queue.
 * `watch`: waits for news as long as it asked to, and fails at once where the connection is lost.
 */
export type ConnectionProfile = 'request' | 'job' | 'watch';

const PROFILES = {
  request: { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2_000 },
  job: { maxRetriesPerRequest: null },
  watch: { enableOfflineQueue: false, maxRetriesPerRequest: 0 },
} as const satisfies Readonly<Record<ConnectionProfile, RedisOptions>>;

/** A connection that keeps reconnecting (at most 500 ms apart); `onError` hears of each failure. */
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
 * A master that has become a replica keeps its connections, and refuses every write: another
 * connection finds the new master, and 2 has the command sent again there.
 */
function reconnectOnError({ message }: Error): boolean | 1 | 2 {
  if (message.startsWith('READONLY')) return 2;
  return message.startsWith('UNBLOCKED') && 1;
}

/** How long a start waits for the first answer, milliseconds. */
const FIRST_ANSWER = 5_000;

/**
 * Makes sure that Redis answers before anything else starts.
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
    throw new BootError(`Redis does not answer at ${withoutPassword(url)}: ${reason}`);
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
 * Whether an error means that Redis is out of reach or takes no writes at the moment, rather than that
 * it refused this command.
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
