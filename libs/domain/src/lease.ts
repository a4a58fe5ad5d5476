import { isServing } from './state.ts';
import type { State } from './state.ts';

/**
 * The one deadline of an instance. All times are epoch milliseconds of the store's clock (Redis
 * `TIME`); the clock of a worker or a proxy never decides how long an instance lives. The scripts of
 * `libs/store` compute and enforce leases; the functions here only compute when to read the lease again.
 */
export interface Lease {
  readonly expiresAt: number;
  readonly maxExpiresAt: number;
}

/**
 * Proxies report the use of instances every `ACTIVITY_PERIOD` ms. An instance ends for being idle
 * `IDLE_SLACK` ms after its idle timeout, so that a report on its way still counts.
 */
export const ACTIVITY_PERIOD = 2_000;
export const IDLE_SLACK = 2 * ACTIVITY_PERIOD;

/**
 * A renewal to a deadline that is earlier by at most this moves nothing, because clients round times to
 * seconds. One that is earlier by more is refused without `shorten`.
 */
export const RENEWAL_TOLERANCE_MS = 1_000;

/** When an instance is due to end, epoch ms: at its deadline, or earlier if it is idle. */
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

/** The longest default notice, ms. */
const MAX_NOTICE_MS = 60_000;

/** How long before its deadline an instance is expiring, ms. The scripts compute the same. */
export function expiryNoticeMs(instance: {
  readonly timeout: number;
  readonly template: { readonly notice?: number | undefined };
}): number {
  return instance.template.notice ?? Math.min(MAX_NOTICE_MS, instance.timeout / 10);
}

/**
 * How long the kill job of an instance may wait before it reads the lease again, ms: until the
 * earliest possible end. A starting instance gets its TTL when it becomes ready, and that TTL may end
 * before its start deadline.
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
 * Checks a client's `timeout`, in whole seconds, against the maximum of a template (ms). Returns it in
 * milliseconds. Zero is an error, not the default.
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
  const detail = `timeout must be a whole number of seconds from 1 to ${max}, the maxTimeout of the template`;
  return { ok: false, detail };
}
