import { ACTIVITY_PERIOD, IDLE_SLACK } from '@ephemera/domain';
import { expect, test } from 'vitest';
import { SCRIPT_CONSTANTS, TOMBSTONE } from './limits.ts';
import { loadScript } from './run-script.ts';

test('an idempotency key outlives an attempt and the tombstone of its instance', () => {
  expect(SCRIPT_CONSTANTS.IDEMPOTENCY_TTL_MS).toBeGreaterThan(SCRIPT_CONSTANTS.ATTEMPT_TTL_MS);
  expect(SCRIPT_CONSTANTS.IDEMPOTENCY_TTL_MS).toBeGreaterThan(TOMBSTONE);
});

test('the idle slack covers one late activity report', () => {
  expect(IDLE_SLACK).toBeGreaterThanOrEqual(2 * ACTIVITY_PERIOD);
});

test('every script starts with the constants', () => {
  const { source } = loadScript('drain', 'frees');
  expect(source.startsWith('#!lua flags=allow-oom\n')).toBe(true);
  for (const [name, value] of Object.entries(SCRIPT_CONSTANTS)) {
    expect(source).toContain(`local ${name} = ${JSON.stringify(value)}\n`);
  }
});
