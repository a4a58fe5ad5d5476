import { expect, test } from 'vitest';
import { createLiveWorkers } from './live-workers.ts';

const SETTLE_MS = 10_000;
const [own, other] = ['a'.repeat(64), 'b'.repeat(64)];

test('reads after an outage of Redis declare no worker dead', () => {
  const workers = createLiveWorkers(SETTLE_MS);
  for (const now of [0, 5_000, 10_000]) workers.observe([own, other], now);
  expect(workers.observe([own, other], 15_000).live?.size).toBe(2);
  // The addresses of all workers are old. The other one registers again in its next heartbeat.
  expect(workers.observe([own], 60_000)).toEqual({ hasChanged: true, live: undefined });
  expect(workers.observe([own], 65_000).live).toBeUndefined();
  expect(workers.observe([own, other], 70_000)).toEqual({ hasChanged: true, live: undefined });
});

test('a worker that is missing in reads over more than the time is dead', () => {
  const workers = createLiveWorkers(SETTLE_MS);
  workers.observe([own, other], 0);
  workers.observe([own], 5_000);
  // A single late read does not suffice.
  expect(workers.observe([own], 60_000).live).toBeUndefined();
  expect([...(workers.observe([own], 60_001).live ?? [])]).toEqual([own.slice(0, 26)]);
});
