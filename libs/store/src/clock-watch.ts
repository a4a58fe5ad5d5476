import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';

/** How far the wall clock of this process is from Redis', which every deadline follows. */
export interface ClockWatch {
  /** Milliseconds that the clock here is ahead; negative where it is behind. */
  readonly skewMs: number;
  /** What Redis' clock shows, as far as it is known here, epoch milliseconds. */
  readonly now: () => number;
  stop(): void;
}

export interface ClockWatchOptions {
  readonly redis: Redis;
  /** Told once when the clock here goes wrong, and once when it is right again. */
  readonly onSkew: (skewMs: number, isSkewed: boolean) => void;
  readonly wallClock?: () => number;
  /** Between two looks, milliseconds. */
  readonly every?: number;
}

/** From how much on a clock counts as wrong, milliseconds. */
const SKEW_THRESHOLD_MS = 1_000;
const POLL_INTERVAL_MS = 5_000;
/** An answer that was on its way for longer says too little, milliseconds. */
const MAX_ROUND_TRIP_MS = 500;

/** Compares this process' wall clock with Redis' now and then, beginning at once. */
export function watchClock(options: ClockWatchOptions): ClockWatch {
  const { redis, onSkew, wallClock = Date.now, every = POLL_INTERVAL_MS } = options;
  const stopping = new AbortController();
  let skewMs = 0;
  let skewed = false;

  const look = async (): Promise<void> => {
    const [sentAt, sentOn] = [wallClock(), performance.now()];
    const [seconds, micros] = await redis.time();
    const took = performance.now() - sentOn;
    if (took > MAX_ROUND_TRIP_MS) return;
    // Redis looked at its clock half way through, give or take the other half.
    skewMs = sentAt + took / 2 - (Number(seconds) * 1000 + Number(micros) / 1000);
    if (Math.abs(skewMs) > SKEW_THRESHOLD_MS === skewed) return;
    skewed = !skewed;
    onSkew(skewMs, skewed);
  };
  void (async () => {
    while (!stopping.signal.aborted) {
      // A Redis that is away is reported by its connection.
      await look().catch(() => undefined);
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
