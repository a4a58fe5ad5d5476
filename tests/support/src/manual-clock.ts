/** A clock that advances only on request. */
export interface ManualClock {
  /** Epoch milliseconds; bound, so that it can be passed as a function. */
  readonly now: () => number;
  advance(ms: number): void;
}

export function manualClock(start = Date.UTC(2026, 0, 1)): ManualClock {
  let time = start;
  return {
    now: () => time,
    advance(ms) {
      time += ms;
    },
  };
}
