import { isSentinelUrl, sentinelOptions, tlsOptions } from '@ephemera/domain';
import type { RedisAddress } from '@ephemera/domain';
import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';

/** The result of pinging a Redis. */
export type RedisAnswer =
  | {
      readonly kind: 'running';
      /** `Redis`, or the name of a compatible server such as `Valkey`. */
      readonly product: string;
      readonly version: string;
      readonly policy: string | undefined;
    }
  | { readonly kind: 'absent' }
  | { readonly kind: 'refused'; readonly problem: string };

/** Connects, pings and reads version and eviction policy, within `timeoutMs`. Never throws. */
export async function pingRedis(
  address: string | RedisAddress,
  { timeoutMs = 3_000 }: { timeoutMs?: number } = {},
): Promise<RedisAnswer> {
  const redis = connect(typeof address === 'string' ? { url: address } : address, {
    lazyConnect: true,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    maxRetriesPerRequest: 0,
    enableReadyCheck: false,
    retryStrategy: () => null,
  });
  let problem: NodeJS.ErrnoException | undefined;
  redis.on('error', (error: NodeJS.ErrnoException) => (problem ??= error));
  try {
    await redis.connect();
    await redis.ping();
    const server = serverOf(await redis.info('server'));
    return { kind: 'running', ...server, policy: await readPolicy(redis) };
  } catch (error) {
    const cause = problem ?? (error as NodeJS.ErrnoException);
    if (cause.code === 'ECONNREFUSED') return { kind: 'absent' };
    const isOtherProtocol = cause.message.startsWith('Unknown RESP type');
    return {
      kind: 'refused',
      problem: isOtherProtocol ? 'the server does not speak the Redis protocol' : cause.message,
    };
  } finally {
    redis.disconnect();
  }
}

type Options = RedisOptions & { readonly replyMapping?: 'legacy' };

/** With Sentinel, the connection goes to the master. One round of questions to the sentinels is enough. */
function connect(address: RedisAddress, options: Options): Redis {
  const all: Options = Object.assign(
    { sentinelRetryStrategy: () => null, sentinelCommandTimeout: 1_000 },
    options,
  );
  return isSentinelUrl(address.url)
    ? new Redis(Object.assign(all, sentinelOptions(address)))
    : new Redis(address.url, Object.assign(all, tlsOptions(address)));
}

/**
 * Name and version of the server. Valkey reports 7.2.4 as `redis_version`, for programs that check
 * it, and its own version as `valkey_version`.
 */
function serverOf(info: string): { product: string; version: string } {
  const field = (name: string) => new RegExp(`^${name}:(\\w\\S*)`, 'm').exec(info)?.[1];
  const name = field('server_name') ?? 'redis';
  const own = /^\w+$/.test(name) ? field(`${name}_version`) : undefined;
  if (own === undefined) return { product: 'Redis', version: field('redis_version') ?? 'unknown' };
  return { product: `${name.charAt(0).toUpperCase()}${name.slice(1)}`, version: own };
}

/** Managed Redis services often forbid CONFIG. Then the policy is unknown. */
async function readPolicy(redis: Redis): Promise<string | undefined> {
  try {
    const [, policy] = await redis.config('GET', 'maxmemory-policy');
    return policy;
  } catch {
    return undefined;
  }
}
