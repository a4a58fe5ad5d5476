/** Runs work, so much of it at once at most; what is too much waits for its turn, in order. */
export type InLanes = <T>(work: () => Promise<T>) => Promise<T>;

export function inLanes(lanes: number): InLanes {
  let free = lanes;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free++;
    }
  };
}
