export interface WrongGuesses {
  /** Whether this address may try again in this window. */
  mayTry(address: string): boolean;
  note(address: string): void;
}

/** What an address may guess wrong where tokens are asked for; `within` in ms. */
export const GUESSES = { most: 10, within: 60_000 };

/** How many addresses are remembered; a window that has seen more begins anew. */
const ADDRESSES = 10_000;

/** Counts wrong tokens by address, `most` in each window of `within` ms. */
export function createWrongGuesses(
  { most, within }: { most: number; within: number },
  now: () => number,
): WrongGuesses {
  let wrong = new Map<string, number>();
  let ends = 0;
  return {
    mayTry(address) {
      if (now() >= ends || wrong.size >= ADDRESSES) {
        wrong = new Map();
        ends = now() + within;
      }
      return (wrong.get(address) ?? 0) < most;
    },
    note(address) {
      wrong.set(address, (wrong.get(address) ?? 0) + 1);
    },
  };
}
