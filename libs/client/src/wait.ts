import type { components } from './api-types.ts';
import { ConnectionError, EphemeraError, ProblemError, isPassing } from './errors.ts';
import { pause } from './retry.ts';

/** An instance as the control API returns it. Times are RFC 3339, durations in seconds. */
export type InstanceData = components['schemas']['InstanceDetail'];

/** A step of a start. */
export interface StartProgress {
  readonly id: string;
  readonly state: InstanceData['status']['state'];
  /** For people: `pulling the image`, or the position in the queue. */
  readonly message: string | undefined;
}

/** How long to wait until an instance is ready, and what is told meanwhile. */
export interface WaitOptions {
  /**
   * Milliseconds to wait until the instance is ready. 0: return at once. Default: 120,000. The last
   * read of the instance may take two seconds more.
   */
  readonly waitMs?: number;
  /** Called at each change of the state or the message, and at once with the state last read. */
  readonly onProgress?: (progress: StartProgress) => void;
  /** Aborts the wait. */
  readonly signal?: AbortSignal;
}

/** An instance was created, and did not become ready. */
export class StartFailedError extends EphemeraError {
  override readonly name = 'StartFailedError';
  /** As it was last read: `status` has the reason, the message and the hint. */
  readonly instance: InstanceData;

  /** @param options `cause`: why the last read of the instance failed, if it did */
  constructor(message: string, instance: InstanceData, options?: ErrorOptions) {
    super(message, options);
    this.instance = instance;
  }
}

export const WAIT_MS = 120_000;
const FIRST_POLL_MS = 100;
const MAX_POLL_MS = 1_000;
/** The least time that a read has, so that the last one can succeed; ms. */
const MIN_READ_MS = 2_000;

/**
 * Waits until an instance is ready. A paused one counts as ready: it was, and a request resumes it.
 * A read that fails for a passing reason is repeated until the time is over, and one without a
 * response ends with it.
 * @param instance `data` is as it was last read
 * @param poll reads it once, without retries
 * @throws StartFailedError if the instance ends or the time is over; the error of a read that cannot
 * succeed later; the reason of the signal
 */
export async function waitUntilReady(
  instance: { readonly id: string; readonly data: InstanceData },
  { waitMs = WAIT_MS, onProgress, signal }: WaitOptions,
  poll: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const deadline = performance.now() + waitMs;
  let reported = '';
  let failure: EphemeraError | undefined;
  for (let pollMs = FIRST_POLL_MS; ; pollMs = Math.min(MAX_POLL_MS, pollMs * 1.5)) {
    const { id, data } = instance;
    const { state, message, reason } = data.status;
    if (reported !== `${state} ${message ?? ''}`) onProgress?.({ id, state, message });
    reported = `${state} ${message ?? ''}`;
    if (state === 'ready' || state === 'paused' || waitMs <= 0) return;
    if (state === 'draining' || state === 'gone' || state === 'failed') {
      const why = message ?? reason ?? state;
      throw new StartFailedError(`Instance ${id} ended before it was ready: ${why}`, data);
    }
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) {
      const step = message === undefined ? state : `${state} (${message})`;
      const known = failure
        ? `was ${step} when it was last read. The last attempt to read it failed: ${failure.message}`
        : `is ${step}`;
      throw new StartFailedError(`Instance ${id} was not ready in time; it ${known}`, data, {
        cause: failure,
      });
    }
    await pause(Math.min(leftMs, Math.max(pollMs, retryAfterMs(failure))), signal);
    failure = await readOnce(poll, Math.max(MIN_READ_MS, deadline - performance.now()), signal);
  }
}

/** Returns the failure of a read, if a later one may succeed. */
async function readOnce(
  poll: (signal: AbortSignal) => Promise<void>,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<EphemeraError | undefined> {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), timeoutMs);
  try {
    await poll(signal ? AbortSignal.any([signal, limit.signal]) : limit.signal);
    return undefined;
  } catch (error) {
    if (isPassing(error)) return error;
    if (!limit.signal.aborted || signal?.aborted) throw error;
    return new ConnectionError('The control API did not answer in this time', { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

function retryAfterMs(failure: EphemeraError | undefined): number {
  return failure instanceof ProblemError ? (failure.retryAfterMs ?? 0) : 0;
}
