import { setTimeout as sleep } from 'node:timers/promises';

const intervalMs = 50;

/**
 * Asks again and again until the condition holds: true; or until the time is over: false. The
 * condition is asked at least once.
 *
 * @throws the signal's reason, when it is aborted
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
