export interface AuthThrottle {
  /** Whether this address may try again in this window. */
  isAllowed(address: string): boolean;
  recordFailure(address: string): void;
}

/** What an address may guess wrong where tokens are asked for; `within` in ms. */
export const AUTH_LIMIT = { max: 10, timeoutMs: 60_000 };

/** How many addresses are remembered; a window that has seen more begins anew. */
const MAX_ADDRESSES = 10_000;

/** Counts wrong tokens by address, `most` in each window of `within` ms. */
export function createAuthThrottle(
  { max, timeoutMs }: { max: number; timeoutMs: number },
  now: () => number,
): AuthThrottle {
  let wrong = new Map<string, number>();
  let killRequests = 0;
  return {
    isAllowed(address) {
      if (now() >= killRequests || wrong.size >= MAX_ADDRESSES) {
        wrong = new Map();
        killRequests = now() + timeoutMs;
      }
      return (wrong.get(address) ?? 0) < max;
    },
    recordFailure(address) {
      wrong.set(address, (wrong.get(address) ?? 0) + 1);
    },
  };
}
