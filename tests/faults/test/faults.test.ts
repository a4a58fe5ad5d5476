import { afterAll, expect, test } from 'vitest';
import { stopAll } from '../src/open.ts';
import { redisFaults } from '../src/scenarios/redis-faults.ts';
import { workerKilled } from '../src/scenarios/worker-killed.ts';

// A small part of `npm run test:faults`. Every invariant is checked after each fault.

const TIMEOUT_MS = 300_000;
const options = { seed: 3, runs: 1, without: [] };

afterAll(stopAll);

test(
  'recovers from workers that die during a creation and a removal',
  async () => {
    expect(await workerKilled({ ...options, steps: ['create', 'remove'] })).toBe(true);
  },
  TIMEOUT_MS,
);

test(
  'recovers from a Redis that is killed and restarted with its file',
  async () => {
    const steps = ['killed, restarted with its file'];
    expect(await redisFaults({ ...options, steps })).toBe(true);
  },
  TIMEOUT_MS,
);
