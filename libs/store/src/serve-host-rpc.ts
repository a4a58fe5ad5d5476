import { setTimeout as sleep } from 'node:timers/promises';
import type { HostRequest, HostReply } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import { isRedisUnavailable } from './connect-redis.ts';
import type { Keys } from './keys.ts';
import type { SentHostRequest } from './redis-host-rpc.ts';

/** Seconds that one blocking read waits. */
const BLOCK = 5;
const RETRY_DELAY_MS = 500;
/** How many requests are handled at the same time; further ones wait in the list. */
const CONCURRENCY = 64;

/**
 * Handles the requests to a host until `signal` aborts. One worker of the host takes each request.
 * An error that `answer` throws becomes the reply.
 * @param options.blocking a dedicated connection with the `watch` profile
 */
export async function serveHostRpc(options: {
  readonly redis: Redis;
  readonly blocking: Redis;
  readonly keys: Keys;
  readonly host: string;
  readonly answer: (request: HostRequest) => Promise<HostReply<unknown>>;
  /**
   * Receives the error of a failed request; the proxy that sent it gets only the message. Without a
   * request: the error of reading the requests or of sending a reply, other than an unavailable Redis.
   */
  readonly onError?: (error: unknown, request?: HostRequest) => void;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { redis, blocking, keys, host, answer, onError, signal } = options;
  const inFlight = new Set<Promise<void>>();
  // The connection reports its own errors.
  const reportUnexpected = (error: unknown): void => {
    if (!isRedisUnavailable(error)) onError?.(error);
  };
  const handle = async ({ number, replyTo, request }: SentHostRequest): Promise<void> => {
    const reply = await answer(request).catch((error: unknown): HostReply<never> => {
      onError?.(error, request);
      return { kind: 'failed', message: error instanceof Error ? error.message : String(error) };
    });
    // A reply that is lost with the connection is not repeated: the caller's timeout ends its wait.
    await redis.publish(replyTo, JSON.stringify({ number, reply })).catch(reportUnexpected);
  };

  const isStopping = () => signal.aborted;
  while (!isStopping()) {
    if (inFlight.size >= CONCURRENCY) await Promise.race(inFlight);
    try {
      const taken = await blocking.blpop(keys.hostRpc(host), BLOCK);
      if (!taken) continue;
      const work = handle(JSON.parse(taken[1]) as SentHostRequest);
      inFlight.add(work);
      void work.finally(() => inFlight.delete(work));
    } catch (error) {
      reportUnexpected(error);
      if (!isStopping()) await sleep(RETRY_DELAY_MS);
    }
  }
  await Promise.all(inFlight);
}
