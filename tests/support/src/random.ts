/** Returns an integer from 0 to below its argument. */
export type Random = (below: number) => number;

/** Pseudo-random numbers that repeat for the same seed (mulberry32). */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Returns the items in a random order. */
export function shuffled<T>(things: readonly T[], random: Random): T[] {
  const drawn = things.map((thing) => ({ thing, lot: random(2 ** 32) }));
  return drawn.sort((a, b) => a.lot - b.lot).map(({ thing }) => thing);
}
