import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IDLE_SLACK, checkTimeout, dueAt, killDelay, pendingLease, readyLease } from './lease.ts';

const ms = fc.integer({ min: 1, max: 1e9 });

test('no deadline ever passes the ceiling, and the ceiling never moves', () => {
  fc.assert(
    fc.property(ms, ms, ms, ms, ms, (now, startTimeoutMs, maxTimeout, later, timeout) => {
      const pending = pendingLease(now, startTimeoutMs, maxTimeout);
      const ready = readyLease(now + later, timeout, pending);
      expect(pending.expiresAt).toBeLessThanOrEqual(pending.maxExpiresAt);
      expect(ready.expiresAt).toBeLessThanOrEqual(ready.maxExpiresAt);
      expect(pending.maxExpiresAt).toBe(now + maxTimeout);
      expect(ready.maxExpiresAt).toBe(pending.maxExpiresAt);
    }),
  );
});

// Its start may take a minute, and its time to live is a second: a job that waits for the deadline
// of its start would come a minute late.
test('a kill job never waits past the earliest end, whenever the instance becomes ready', () => {
  fc.assert(
    fc.property(ms, ms, ms, ms, (now, startTimeoutMs, timeout, took) => {
      const start = { ...pendingLease(now, startTimeoutMs, 1e9), timeout, template: {} };
      const asksAgainAt = now + killDelay({ ...start, state: 'starting' }, now);
      const ready = readyLease(now + took, timeout, start);
      if (took <= startTimeoutMs) expect(asksAgainAt).toBeLessThanOrEqual(ready.expiresAt);
      const served = { ...start, ...ready, state: 'ready' as const };
      expect(killDelay(served, now + took)).toBe(ready.expiresAt - now - took);
    }),
  );
});

test('the TTL counts from ready', () => {
  const pending = pendingLease(1_000, 30_000, 600_000);
  expect(pending).toEqual({ expiresAt: 31_000, maxExpiresAt: 601_000 });
  expect(readyLease(5_000, 60_000, pending)).toEqual({ expiresAt: 65_000, maxExpiresAt: 601_000 });
});

test('an instance is due at its deadline, or sooner where it lies idle, never later', () => {
  fc.assert(
    fc.property(ms, ms, fc.option(ms, { nil: undefined }), (expiresAt, activeAt, idleTimeout) => {
      const due = dueAt({ expiresAt, activeAt, template: { idleTimeout } });
      expect(due).toBeLessThanOrEqual(expiresAt);
      if (idleTimeout === undefined) expect(due).toBe(expiresAt);
      else expect(due).toBe(Math.min(expiresAt, activeAt + idleTimeout + IDLE_SLACK));
      expect(dueAt({ expiresAt, template: { idleTimeout } })).toBe(expiresAt);
    }),
  );
});

test.each([1, 60, 120])('a timeout of %i s is allowed where the maximum is 2 m', (seconds) => {
  expect(checkTimeout(seconds, 120_000)).toEqual({ ok: true, timeout: seconds * 1000 });
});

// Zero meant 'the default' elsewhere, and instances lived for ever that were meant to end.
test.each([0, -1, 0.5, 1.5, 121, 1e300, Number.NaN, Infinity, -Infinity, 2 ** 53])(
  'a timeout of %d s is refused where the maximum is 2 m',
  (seconds) => {
    expect(checkTimeout(seconds, 120_000)).toEqual({
      ok: false,
      detail: 'timeout must be a whole number of seconds from 1 to 120',
    });
  },
);
