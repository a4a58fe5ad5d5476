import type { components } from './api-types.ts';
import { EphemeraError } from './errors.ts';
import type { Instance, InstanceData } from './instance.ts';
import { pause } from './retry.ts';

export type CreateRequest = components['schemas']['CreateInstance'];

/** A step of a start. */
export interface StartProgress {
  readonly id: string;
  readonly state: InstanceData['status']['state'];
  /** For people: `pulling the image`, or the position in the queue. */
  readonly message: string | undefined;
}

export interface CreateOptions {
  /** Milliseconds to wait until the instance is ready. 0: return at once. Default: 120,000. */
  readonly waitMs?: number;
  /** Called at each change of the state or the message, the first time after the creation. */
  readonly onProgress?: (progress: StartProgress) => void;
  /**
   * The same key with the same request returns the same instance for 24 hours. Default: a random
   * key per call, so that retries start one instance.
   */
  readonly idempotencyKey?: string;
  /**
   * Whether an instance that does not become ready is left to its lease. Default: it is ended.
   */
  readonly keep?: boolean;
  /** Aborts the wait. */
  readonly signal?: AbortSignal;
}

/** An instance was created, and did not become ready. */
export class StartFailedError extends EphemeraError {
  override readonly name = 'StartFailedError';
  /** As it was last read: `status` has the reason, the message and the hint. */
  readonly instance: InstanceData;

  constructor(message: string, instance: InstanceData) {
    super(message);
    this.instance = instance;
  }
}

const WAIT_MS = 120_000;
const FIRST_POLL_MS = 100;
const MAX_POLL_MS = 1_000;

/**
 * Starts an instance, and waits until it is ready.
 * @param start sends the creation with this key. It may be repeated
 */
export async function createAndWait(
  start: (idempotencyKey: string) => Promise<Instance>,
  {
    waitMs = WAIT_MS,
    onProgress,
    idempotencyKey = randomKey(),
    keep = false,
    signal,
  }: CreateOptions,
): Promise<Instance> {
  const deadline = performance.now() + waitMs;
  const instance = await start(idempotencyKey);
  try {
    await waitUntilReady(instance, { isWaiting: waitMs > 0, deadline, onProgress, signal });
    return instance;
  } catch (error) {
    // The caller gets no object to end it with. Its lease ends it where this fails.
    if (!keep) await instance.kill().catch(() => undefined);
    throw error;
  }
}

async function waitUntilReady(
  instance: Instance,
  {
    isWaiting,
    deadline,
    onProgress,
    signal,
  }: {
    readonly isWaiting: boolean;
    /** By `performance.now()`. */
    readonly deadline: number;
    readonly onProgress: CreateOptions['onProgress'] | undefined;
    readonly signal: AbortSignal | undefined;
  },
): Promise<void> {
  let reported = '';
  for (let pollMs = FIRST_POLL_MS; ; pollMs = Math.min(MAX_POLL_MS, pollMs * 1.5)) {
    const { id, data } = instance;
    const { state, message, reason } = data.status;
    if (reported !== `${state} ${message ?? ''}`) onProgress?.({ id, state, message });
    reported = `${state} ${message ?? ''}`;
    if (state === 'ready' || !isWaiting) return;
    if (state === 'draining' || state === 'gone' || state === 'failed') {
      const why = message ?? reason ?? state;
      throw new StartFailedError(`Instance ${id} ended before it was ready: ${why}`, data);
    }
    if (performance.now() > deadline) {
      throw new StartFailedError(`Instance ${id} was not ready in time; it is ${state}`, data);
    }
    await pause(pollMs, signal);
    await instance.refresh();
  }
}

/** `crypto.randomUUID` exists only in secure contexts of a browser. */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
