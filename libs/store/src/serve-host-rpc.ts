import { setTimeout as sleep } from 'node:timers/promises';
import type { HostRequest, HostReply } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import type { SentHostRequest } from './redis-host-rpc.ts';

/** Seconds that one blocking read waits. */
const BLOCK = 5;
const RETRY_DELAY_MS = 500;
/** How many asks are carried out at once; more wait in the list. */
const CONCURRENCY = 64;

/**
 * Takes what a host is asked and answers it, until `signal` aborts. Each ask is taken by one of
 * the host's workers; what `answer` throws is the answer too.
 * @param options.blocking a connection of its own, with the patience to `watch`
 */
export async function serveHostRpc(options: {
  readonly redis: Redis;
  readonly blocking: Redis;
  readonly keys: Keys;
  readonly host: string;
  readonly answer: (request: HostRequest) => Promise<HostReply<unknown>>;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { redis, blocking, keys, host, answer, signal } = options;
  const inFlight = new Set<Promise<void>>();
  const applyRepairs = async ({ number, replyTo, request }: SentHostRequest): Promise<void> => {
    const reply = await answer(request).catch((error: unknown): HostReply<never> => {
      return { kind: 'failed', message: error instanceof Error ? error.message : String(error) };
    });
    // One that is lost with the connection is asked again by whoever still waits.
    await redis.publish(replyTo, JSON.stringify({ number, reply })).catch(() => undefined);
  };

  const isStopping = () => signal.aborted;
  while (!isStopping()) {
    if (inFlight.size >= CONCURRENCY) await Promise.race(inFlight);
    try {
      const taken = await blocking.blpop(keys.hostRpc(host), BLOCK);
      if (!taken) continue;
      const work = applyRepairs(JSON.parse(taken[1]) as SentHostRequest);
      inFlight.add(work);
      void work.finally(() => inFlight.delete(work));
    } catch {
      // The connection reports its own faults.
      if (!isStopping()) await sleep(RETRY_DELAY_MS);
    }
  }
  await Promise.all(inFlight);
}
