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

/** How long a failed creation waits for the end of its instance, ms. */
const END_MS = 2_000;

/** The response to a creation. */
interface Started {
  readonly instance: Instance;
  /** Whether an earlier request with the same key created it. */
  readonly isReplayed: boolean;
}

/**
 * Starts an instance, and waits until it is ready.
 * @param start sends the creation with this key. It may be repeated
 */
export async function createAndWait(
  start: (idempotencyKey: string) => Promise<Started>,
  { waitMs = WAIT_MS, idempotencyKey, keep = false, ...options }: CreateOptions,
): Promise<Instance> {
  const startedAt = performance.now();
  const { instance, isReplayed } = await start(idempotencyKey ?? randomKey());
  try {
    const leftMs = waitMs - (performance.now() - startedAt);
    await instance.waitUntilReady({ ...options, waitMs: waitMs > 0 ? Math.max(1, leftMs) : 0 });
    return instance;
  } catch (error) {
    // The caller gets no object to end it with. Its lease ends it where this fails. Under a key of
    // the caller, it may be in use; a random key is known to this call only.
    const isOwn = idempotencyKey === undefined || !isReplayed;
    if (!keep && isOwn) await killWithin(END_MS, instance);
    throw error;
  }
}

/** Ends an instance. A control API that does not answer does not delay the caller for longer. */
async function killWithin(timeoutMs: number, instance: Instance): Promise<void> {
  const ended = new AbortController();
  const killed = instance.kill().finally(() => ended.abort());
  await Promise.race([killed, pause(timeoutMs, ended.signal)]).catch(() => undefined);
  killed.catch(() => undefined);
}

/** `crypto.randomUUID` exists only in secure contexts of a browser. */
export function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
