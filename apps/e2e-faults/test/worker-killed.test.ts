import { expect, test } from 'vitest';
import { workerKilled } from '../src/scenarios/worker-killed.ts';

// A worker dies with a container in its hands that nobody knows yet, and the next one with a
// container that it was removing. `npm run test:faults` is the whole.

test('nothing leaks and nothing is lost, whoever dies', { timeout: 180_000 }, async () => {
  const steps = ['create', 'remove'];
  expect(await workerKilled({ seed: 3, runs: 1, steps, without: [] })).toBe(true);
});
