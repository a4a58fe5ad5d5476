import { ConnectionError, ProblemError, UnexpectedResponseError } from './errors.ts';

const FIRST_DELAY_MS = 200;
const MAX_DELAY_MS = 5_000;
/** A longer `Retry-After` is left to the caller. */
const MAX_RETRY_AFTER_MS = 30_000;

export interface RetryOptions {
  /** Attempts after the first. */
  readonly retries: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Repeats an operation that may be repeated, while the reason is one that passes: no connection,
 * Redis or a host unavailable, a rate limit, an error of a load balancer. Waits for `Retry-After`,
 * else with exponential back-off and jitter.
 * @throws the error of the last attempt, or the reason of the signal
 */
export async function withRetries<T>(
  attempt: () => Promise<T>,
  { retries, signal }: RetryOptions,
): Promise<T> {
  for (let failures = 0; ; failures++) {
    signal?.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      const delay = delayBeforeRetry(error, failures);
      if (delay === undefined || failures >= retries) throw error;
      await pause(delay, signal);
    }
  }
}

/** Milliseconds to wait, or undefined where a repetition cannot help. */
function delayBeforeRetry(error: unknown, failures: number): number | undefined {
  const backoff =
    Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** failures) * (0.5 + Math.random() / 2);
  if (error instanceof ConnectionError) return backoff;
  if (error instanceof UnexpectedResponseError) return error.status >= 502 ? backoff : undefined;
  if (!(error instanceof ProblemError)) return undefined;
  if (error.status !== 503 && error.kind !== 'rate_limited') return undefined;
  const { retryAfterMs = backoff } = error;
  return retryAfterMs <= MAX_RETRY_AFTER_MS ? retryAfterMs : undefined;
}

/**
 * Waits for a number of milliseconds.
 * @throws the reason of the signal as soon as it aborts
 */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
