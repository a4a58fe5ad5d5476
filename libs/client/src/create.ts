import type { components } from './api-types.ts';
import type { Instance } from './instance.ts';
import { pause } from './retry.ts';
import { WAIT_MS } from './wait.ts';
import type { WaitOptions } from './wait.ts';

/** The body of a creation: the template and the values of this instance. Durations in whole seconds. */
export type CreateRequest = components['schemas']['CreateInstance'];

/** How `create()` waits, and what it does if it rejects. */
export interface CreateOptions extends WaitOptions {
  /**
   * The same key with the same request returns the same instance for 24 hours. Default: a random
   * key per call, so that retries start one instance.
   */
  readonly idempotencyKey?: string;
  /**
   * Whether an instance that does not become ready is left to its lease. Default: it is ended,
   * unless an earlier request with `idempotencyKey` created it.
   */
  readonly keep?: boolean;
}

/** How long a failed creation waits for its response and for the end of its instance, ms. */
const END_MS = 2_000;

/** The response to a creation. */
interface Started {
  readonly instance: Instance;
  /** Whether an earlier request with the same key created it. */
  readonly isReplayed: boolean;
}

/**
 * Starts an instance, and waits until it is ready.
 * @param start sends the creation with this key. It may be repeated. Its signal is that of the options,
 * and does not interrupt a request that was sent: only its response has the id of the instance
 */
export async function createAndWait(
  start: (idempotencyKey: string) => Promise<Started>,
  { waitMs = WAIT_MS, idempotencyKey, keep = false, ...options }: CreateOptions,
): Promise<Instance> {
  const startedAt = performance.now();
  /** Ends what a creation that rejects has started: the caller gets no object to end it with. */
  const endIfOwn = async ({ instance, isReplayed }: Started): Promise<void> => {
    // Under a key of the caller, it may be in use; a random key is known to this call only.
    const isOwn = idempotencyKey === undefined || !isReplayed;
    if (!keep && isOwn) await instance.kill();
  };
  options.signal?.throwIfAborted();
  const starting = start(idempotencyKey ?? randomKey());
  const { instance, isReplayed } = await untilAborted(starting, options.signal).catch(
    async (error: unknown) => {
      // After an abort, the response may still arrive.
      if (!keep) await within(END_MS, starting.then(endIfOwn));
      throw error;
    },
  );
  try {
    const leftMs = waitMs - (performance.now() - startedAt);
    await instance.waitUntilReady({ ...options, waitMs: waitMs > 0 ? Math.max(1, leftMs) : 0 });
    return instance;
  } catch (error) {
    // Its lease ends it where this fails.
    await within(END_MS, endIfOwn({ instance, isReplayed }));
    throw error;
  }
}

/** Waits for an attempt, whatever becomes of it, so that it does not delay the caller for longer. */
async function within(timeoutMs: number, attempt: Promise<void>): Promise<void> {
  const ended = new AbortController();
  const settled = attempt.finally(() => ended.abort());
  await Promise.race([settled, pause(timeoutMs, ended.signal)]).catch(() => undefined);
  settled.catch(() => undefined);
}

/** @throws the reason of the signal as soon as it aborts, or the error of the promise */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await promise;
  const settled = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true, signal: settled.signal });
  });
  return await Promise.race([promise, aborted]).finally(() => settled.abort());
}

/** `crypto.randomUUID` exists only in secure contexts of a browser. */
export function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
