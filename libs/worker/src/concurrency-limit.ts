/**
 * Runs work, so much of it at once at most; what is too much waits for its turn, in order, and what
 * may be `last` lets all else go before it.
 */
export type ConcurrencyLimit = <T>(work: () => Promise<T>, last?: 'last') => Promise<T>;

export function limitConcurrency(max: number): ConcurrencyLimit {
  let free = max;
  const waiting: (() => void)[] = [];
  const behind: (() => void)[] = [];
  return async (work, last) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => (last ? behind : waiting).push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift() ?? behind.shift();
      if (next) next();
      else free++;
    }
  };
}
