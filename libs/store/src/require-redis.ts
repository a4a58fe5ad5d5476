import {
  BootError,
  isSentinelUrl,
  parseSentinelUrl,
  redactRedisUrl,
  sentinelNodeOptions,
} from '@ephemera/domain';
import type { RedisAddress, SentinelNode } from '@ephemera/domain';
import { Redis } from 'ioredis';

/** How long start-up waits for the first reply, ms. With Sentinel, a failover may be in progress. */
const FIRST_ANSWER_MS = 5_000;
const FIRST_ANSWER_SENTINEL_MS = 10_000;

/**
 * The largest accepted `min-replicas-max-lag`, seconds. A master that is cut off accepts writes for so
 * long, and loses all of them.
 */
const MAX_LAG_S = 5;

/**
 * Checks that Redis answers and suits a deployment, before anything else starts.
 * @throws BootError with every error at once. It names the address, without its password
 */
export async function requireRedis(redis: Redis, address: string | RedisAddress): Promise<void> {
  const read = typeof address === 'string' ? { url: address } : address;
  try {
    if (isSentinelUrl(read.url)) await requireSentinels(read);
    await requireAnswer(redis, read.url);
    await requireSuitable(redis, read.url);
  } catch (error) {
    redis.disconnect();
    throw error;
  }
}

/** @throws BootError unless one sentinel knows the master; it says what is wrong with each */
async function requireSentinels(address: RedisAddress): Promise<void> {
  const { sentinels, master } = parseSentinelUrl(address.url);
  const issues = await Promise.all(sentinels.map((item) => sentinelIssue(address, master, item)));
  if (issues.includes(undefined)) return;
  const lines = sentinels.map(
    ({ host, port }, i) =>
      `  ${host.includes(':') ? `[${host}]` : host}:${port}: ${issues[i] ?? ''}`,
  );
  throw new BootError(
    [
      `No sentinel at ${redactRedisUrl(address.url)} can be used:`,
      ...lines,
      `Start the sentinels, or correct EPHEMERA_REDIS_URL.`,
    ].join('\n'),
  );
}

/** Asks one sentinel for the master. Returns what is wrong; undefined if it knows the master. */
async function sentinelIssue(
  address: RedisAddress,
  master: string,
  node: SentinelNode,
): Promise<string | undefined> {
  const sentinel = new Redis({
    ...sentinelNodeOptions(node, address),
    lazyConnect: true,
    enableReadyCheck: false,
    connectTimeout: 2_000,
    commandTimeout: 2_000,
    disconnectTimeout: 200,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  let reported: Error | undefined;
  sentinel.on('error', (error: Error) => (reported ??= error));
  try {
    await sentinel.connect();
    const found = await sentinel.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', master);
    return found === null ? `it knows no master with the name "${master}"` : undefined;
  } catch (error) {
    const { message } = reported ?? (error as Error);
    return message.includes('unknown command') ? 'it is not a sentinel' : message;
  } finally {
    sentinel.disconnect();
  }
}

/** @throws BootError unless the connection becomes ready and answers a PING in time */
async function requireAnswer(redis: Redis, url: string): Promise<void> {
  let last: Error | undefined;
  const note = (error: Error) => (last = error);
  redis.on('error', note);
  let timer: NodeJS.Timeout | undefined;
  const timeoutMs = isSentinelUrl(url) ? FIRST_ANSWER_SENTINEL_MS : FIRST_ANSWER_MS;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(last ?? new Error('no answer')), timeoutMs);
  });
  try {
    await Promise.race([ready(redis), timeout]);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new BootError(
      `Redis does not answer at ${redactRedisUrl(url)}: ${reason}. Start Redis, or set EPHEMERA_REDIS_URL.`,
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

/** @throws BootError for a cluster, for a replica, and for a master whose writes a failover can lose */
async function requireSuitable(redis: Redis, url: string): Promise<void> {
  const info = await redis.info();
  const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1];
  const issues: string[] = [];
  if (field('redis_mode') === 'cluster') {
    issues.push(
      'It is a node of a Redis Cluster. All keys of a deployment share one hash slot, so a cluster adds no capacity. Use one server, or Sentinel.',
    );
  }
  if (field('role') === 'slave') {
    issues.push(
      `It is a replica of ${field('master_host') ?? '?'}:${field('master_port') ?? '?'} and refuses writes. Set EPHEMERA_REDIS_URL to the master, or to the sentinels: redis-sentinel://HOST,HOST/MASTER/0.`,
    );
  } else if (isSentinelUrl(url)) {
    issues.push(...(await replicationIssues(redis, field('min_slaves_good_slaves') !== undefined)));
  }
  if (issues.length === 0) return;
  throw new BootError(
    [
      `Redis at ${redactRedisUrl(url)} cannot be used:`,
      ...issues.map((issue) => `  ${issue}`),
    ].join('\n'),
  );
}

/**
 * Without `min-replicas-to-write`, a master that is cut off accepts writes that the failover loses.
 * @param isLimited whether INFO shows that both limits are set. The user of `deploy/redis.acl` may not
 * read the configuration, so `min-replicas-max-lag` is checked only where that is allowed
 */
async function replicationIssues(redis: Redis, isLimited: boolean): Promise<string[]> {
  const remedy = 'on every data node: min-replicas-to-write 1, min-replicas-max-lag 2.';
  if (!isLimited) {
    return [
      `min-replicas-to-write or min-replicas-max-lag is 0, so a failover loses what the old master accepts meanwhile. Set ${remedy}`,
    ];
  }
  const lag = await readSetting(redis, 'min-replicas-max-lag');
  if (lag === undefined || Number(lag) <= MAX_LAG_S) return [];
  return [
    `min-replicas-max-lag is ${lag} s: so long, a master that is cut off accepts writes that the failover loses. At most ${MAX_LAG_S} s are accepted. Set ${remedy}`,
  ];
}

async function readSetting(redis: Redis, name: string): Promise<string | undefined> {
  try {
    const [, value] = await redis.config('GET', name);
    return value;
  } catch {
    return undefined;
  }
}
