import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IDLE_SLACK, checkTimeout, dueAt, killDelay } from './lease.ts';

const ms = fc.integer({ min: 1, max: 1e9 });

// A start may take a minute while the TTL is one second. A job that waits for the start deadline
// would run a minute late.
test('a kill job never waits past the earliest end, whenever the instance becomes ready', () => {
  fc.assert(
    fc.property(ms, ms, ms, ms, (now, startTimeout, timeout, took) => {
      const starting = {
        expiresAt: now + startTimeout,
        state: 'starting',
        timeout,
        template: {},
      } as const;
      const dueAgain = now + killDelay(starting, now);
      const readyExpiresAt = now + took + timeout;
      if (took <= startTimeout) expect(dueAgain).toBeLessThanOrEqual(readyExpiresAt);
      const ready = { ...starting, expiresAt: readyExpiresAt, state: 'ready' } as const;
      expect(killDelay(ready, now + took)).toBe(timeout);
    }),
  );
});

test('an instance is due at its deadline, or earlier if it is idle', () => {
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

test.each([1, 60, 120])('a timeout of %i s is allowed with a maximum of 2 m', (seconds) => {
  expect(checkTimeout(seconds, 120_000)).toEqual({ ok: true, timeout: seconds * 1000 });
});

// If zero meant "the default", instances that should end would live for ever.
test.each([0, -1, 0.5, 1.5, 121, 1e300, Number.NaN, Infinity, -Infinity, 2 ** 53])(
  'a timeout of %d s is refused with a maximum of 2 m',
  (seconds) => {
    expect(checkTimeout(seconds, 120_000)).toEqual({
      ok: false,
      detail:
        'timeout must be a whole number of seconds from 1 to 120, the maxTimeout of the template',
    });
  },
);
