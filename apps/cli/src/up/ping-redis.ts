import { Redis } from 'ioredis';

/** PEM. */
export interface RedisTls {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** What came of asking a Redis whether it is there. */
export type RedisAnswer =
  | { readonly kind: 'running'; readonly version: string; readonly policy: string | undefined }
  | { readonly kind: 'absent' }
  | { readonly kind: 'refused'; readonly problem: string };

/** Connects, pings and reads version and eviction policy, within `withinMs`. Never throws. */
export async function pingRedis(
  url: string,
  { timeoutMs = 3_000, tls = {} }: { timeoutMs?: number; tls?: RedisTls } = {},
): Promise<RedisAnswer> {
  const input = Object.entries(tls).filter(([, pem]) => pem !== undefined);
  const redis = new Redis(url, {
    ...(url.startsWith('rediss:') && { tls: Object.fromEntries(input) }),
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
    const version = /redis_version:(\S+)/.exec(await redis.info('server'))?.[1] ?? 'unknown';
    return { kind: 'running', version, policy: await readPolicy(redis) };
  } catch (error) {
    const cause = problem ?? (error as NodeJS.ErrnoException);
    if (cause.code === 'ECONNREFUSED') return { kind: 'absent' };
    const stranger = cause.message.startsWith('Unknown RESP type');
    return { kind: 'refused', problem: stranger ? 'what answers is no Redis' : cause.message };
  } finally {
    redis.disconnect();
  }
}

/** Managed Redis often forbids CONFIG: then the policy is not known. */
async function readPolicy(redis: Redis): Promise<string | undefined> {
  try {
    const [, policy] = await redis.config('GET', 'maxmemory-policy');
    return policy;
  } catch {
    return undefined;
  }
}
