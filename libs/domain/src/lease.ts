import { isServing } from './state.ts';
import type { State } from './state.ts';

/**
 * The one deadline of an instance. All times are epoch milliseconds of one clock, the store's
 * (Redis `TIME`): a worker's or a proxy's own clock never decides how long an instance lives.
 */
export interface Lease {
  readonly expiresAt: number;
  readonly maxExpiresAt: number;
}

/** The lease of an instance that has not started: it must be ready within `startWithin` ms. */
export function pendingLease(now: number, startTimeoutMs: number, maxTimeout: number): Lease {
  const maxExpiresAt = now + maxTimeout;
  return { expiresAt: Math.min(now + startTimeoutMs, maxExpiresAt), maxExpiresAt };
}

/** The lease of an instance that has become ready: its TTL counts from now, below the ceiling. */
export function readyLease(now: number, timeout: number, pending: Lease): Lease {
  return { ...pending, expiresAt: Math.min(now + timeout, pending.maxExpiresAt) };
}

/**
 * How much later than its idle timeout an instance may end for being idle: the proxies tell of its
 * use every `ACTIVITY_PERIOD`, and what one of them has not told yet must not be lost.
 */
export const ACTIVITY_PERIOD = 2_000;
export const IDLE_SLACK = 2 * ACTIVITY_PERIOD;

/** When an instance is due to end: at its deadline, or sooner where it lies idle. */
export function dueAt(instance: {
  readonly expiresAt: number;
  readonly activeAt?: number | undefined;
  readonly state?: State;
  readonly template: { readonly idleTimeout?: number | undefined };
}): number {
  const { expiresAt, activeAt, template, state } = instance;
  if (state === 'paused') return expiresAt;
  if (template.idleTimeout === undefined || activeAt === undefined) return expiresAt;
  return Math.min(expiresAt, activeAt + template.idleTimeout + IDLE_SLACK);
}

/**
 * How long the kill job of an instance may wait before it looks again, ms: until the earliest that
 * its end can be at. One that still starts gets its time to live from the moment that it serves,
 * and that may end sooner than the deadline of its start.
 */
export function killDelay(
  instance: Parameters<typeof dueAt>[0] & { readonly state: State; readonly timeout: number },
  now: number,
): number {
  const { state, timeout, template } = instance;
  const left = dueAt(instance) - now;
  return isServing(state) ? left : Math.min(left, timeout, template.idleTimeout ?? timeout);
}

/**
 * Checks a visitor's `timeout` in whole seconds against a template, and gives milliseconds.
 * Zero is a fault, never 'the default'.
 */
export function checkTimeout(
  seconds: number,
  maxTimeout: number,
):
  | { readonly ok: true; readonly timeout: number }
  | { readonly ok: false; readonly detail: string } {
  const max = Math.floor(maxTimeout / 1000);
  if (Number.isSafeInteger(seconds) && seconds >= 1 && seconds <= max) {
    return { ok: true, timeout: seconds * 1000 };
  }
  return { ok: false, detail: `timeout must be a whole number of seconds from 1 to ${max}` };
}
