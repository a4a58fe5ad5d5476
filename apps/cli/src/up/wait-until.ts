import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Asks again and again until the condition holds: true; or until the time is over: false. The
 * condition is asked at least once.
 */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  withinMs: number,
  everyMs = 50,
): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > deadline) return false;
    await sleep(everyMs);
  }
  return true;
}
