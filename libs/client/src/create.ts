import type { components } from './api-types.ts';
import type { Instance } from './instance.ts';
import { WAIT_MS } from './wait.ts';
import type { WaitOptions } from './wait.ts';

export type CreateRequest = components['schemas']['CreateInstance'];

export interface CreateOptions extends WaitOptions {
  /**
   * The same key with the same request returns the same instance for 24 hours. Default: a random
   * key per call, so that retries start one instance.
   */
  readonly idempotencyKey?: string;
  /**
   * Whether an instance that does not become ready is left to its lease. Default: it is ended.
   */
  readonly keep?: boolean;
}

/**
 * Starts an instance, and waits until it is ready.
 * @param start sends the creation with this key. It may be repeated
 */
export async function createAndWait(
  start: (idempotencyKey: string) => Promise<Instance>,
  { waitMs = WAIT_MS, idempotencyKey, keep = false, ...options }: CreateOptions,
): Promise<Instance> {
  const startedAt = performance.now();
  const instance = await start(idempotencyKey ?? randomKey());
  try {
    const leftMs = waitMs - (performance.now() - startedAt);
    await instance.waitUntilReady({ ...options, waitMs: waitMs > 0 ? Math.max(1, leftMs) : 0 });
    return instance;
  } catch (error) {
    // The caller gets no object to end it with. Its lease ends it where this fails.
    if (!keep) await instance.kill().catch(() => undefined);
    throw error;
  }
}

/** `crypto.randomUUID` exists only in secure contexts of a browser. */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
