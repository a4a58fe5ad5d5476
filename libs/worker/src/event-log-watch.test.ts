import { expect, test } from 'vitest';
import { eventLogWatch } from './event-log-watch.ts';

const HOUR_MS = 3_600_000;

test('a full log that does not reach back an hour is logged, once per hour', async () => {
  let now = 10 * HOUR_MS;
  let state = { count: 999, max: 1_000, oldestAt: now - 1 };
  const lines: unknown[] = [];
  const check = eventLogWatch({
    read: () => Promise.resolve(state),
    now: () => now,
    logger: { warn: (...line: unknown[]) => void lines.push(line[0]) },
  });
  await check();
  expect(lines).toEqual([]);
  state = { ...state, count: 1_000, oldestAt: now - HOUR_MS };
  await check();
  expect(lines).toEqual([]);
  state = { ...state, oldestAt: now - HOUR_MS / 2 };
  await check();
  await check();
  expect(lines).toEqual([{ storedEvents: 1_000, oldestSeconds: 1_800 }]);
  now += HOUR_MS;
  state = { ...state, oldestAt: now - 5_000 };
  await check();
  expect(lines).toHaveLength(2);
});
