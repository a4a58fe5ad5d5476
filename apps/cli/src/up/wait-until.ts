import { setTimeout as sleep } from 'node:timers/promises';

const intervalMs = 50;

/**
 * Polls a condition, at least once. Returns true when it holds, and false after the timeout.
 *
 * @throws the signal's reason, when it aborts
 */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  timeoutMs: number,
  stop?: AbortSignal,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    stop?.throwIfAborted();
    if (performance.now() > deadline) return false;
    await sleep(intervalMs);
  }
  return true;
}
