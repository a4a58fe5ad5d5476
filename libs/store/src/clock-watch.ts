import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { isRedisUnavailable } from './connect-redis.ts';

/**
 * The difference between this process' wall clock and Redis' clock. Every deadline follows Redis'
 * clock.
 */
export interface ClockWatch {
  /** Wall clock minus Redis' clock, milliseconds; negative where the wall clock is behind. */
  readonly skewMs: number;
  /** Estimate of Redis' clock, epoch milliseconds. */
  readonly now: () => number;
  stop(): void;
}

export interface ClockWatchOptions {
  readonly redis: Redis;
  /** Called once when the wall clock becomes wrong, and once when it is right again. */
  readonly onSkew: (skewMs: number, isSkewed: boolean) => void;
  /** Receives the errors of measurements other than an unavailable Redis. */
  readonly onError?: (error: unknown) => void;
  readonly wallClock?: () => number;
  /** Interval between two measurements, milliseconds. */
  readonly every?: number;
}

/** The clock counts as wrong above this skew, milliseconds. */
const SKEW_THRESHOLD_MS = 1_000;
const POLL_INTERVAL_MS = 5_000;
/** Slower replies are ignored, because their measurement is too uncertain; milliseconds. */
const MAX_ROUND_TRIP_MS = 500;

/** Compares the wall clock with Redis' clock at intervals. The first measurement starts at once. */
export function watchClock(options: ClockWatchOptions): ClockWatch {
  const { redis, onSkew, onError, wallClock = Date.now, every = POLL_INTERVAL_MS } = options;
  const stopping = new AbortController();
  let skewMs = 0;
  let skewed = false;

  const measure = async (): Promise<void> => {
    const [sentAt, sentOn] = [wallClock(), performance.now()];
    const [seconds, micros] = await redis.time();
    const took = performance.now() - sentOn;
    if (took > MAX_ROUND_TRIP_MS) return;
    // Assume that Redis read its clock half-way through the round trip.
    skewMs = sentAt + took / 2 - (Number(seconds) * 1000 + Number(micros) / 1000);
    if (Math.abs(skewMs) > SKEW_THRESHOLD_MS === skewed) return;
    skewed = !skewed;
    onSkew(skewMs, skewed);
  };
  void (async () => {
    while (!stopping.signal.aborted) {
      // The connection reports its own errors.
      await measure().catch((error: unknown) => {
        if (!isRedisUnavailable(error)) onError?.(error);
      });
      await sleep(every, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();

  return {
    get skewMs() {
      return skewMs;
    },
    now: () => Math.round(wallClock() - skewMs),
    stop: () => stopping.abort(),
  };
}
