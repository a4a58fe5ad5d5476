import { setTimeout as sleep } from 'node:timers/promises';
import type { Ask, Reply } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import type { SentAsk } from './redis-asks.ts';

/** Seconds that one blocking read waits. */
const BLOCK = 5;
const PAUSE = 500;
/** How many asks are carried out at once; more wait in the list. */
const AT_ONCE = 64;

/**
 * Takes what a host is asked and answers it, until `signal` aborts. Each ask is taken by one of
 * the host's workers; what `answer` throws is the answer too.
 * @param options.blocking a connection of its own, with the patience to `watch`
 */
export async function takeAsks(options: {
  readonly redis: Redis;
  readonly blocking: Redis;
  readonly keys: Keys;
  readonly host: string;
  readonly answer: (ask: Ask) => Promise<Reply<unknown>>;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { redis, blocking, keys, host, answer, signal } = options;
  const underWay = new Set<Promise<void>>();
  const carryOut = async ({ number, replyTo, ask }: SentAsk): Promise<void> => {
    const reply = await answer(ask).catch((error: unknown): Reply<never> => {
      return { kind: 'failed', message: error instanceof Error ? error.message : String(error) };
    });
    // One that is lost with the connection is asked again by whoever still waits.
    await redis.publish(replyTo, JSON.stringify({ number, reply })).catch(() => undefined);
  };

  const isStopping = () => signal.aborted;
  while (!isStopping()) {
    if (underWay.size >= AT_ONCE) await Promise.race(underWay);
    try {
      const taken = await blocking.blpop(keys.asks(host), BLOCK);
      if (!taken) continue;
      const work = carryOut(JSON.parse(taken[1]) as SentAsk);
      underWay.add(work);
      void work.finally(() => underWay.delete(work));
    } catch {
      // The connection reports its own faults.
      if (!isStopping()) await sleep(PAUSE);
    }
  }
  await Promise.all(underWay);
}
