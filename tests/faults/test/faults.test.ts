import { afterAll, expect, test } from 'vitest';
import { stopAll } from '../src/open.ts';
import { redisFaults } from '../src/scenarios/redis-faults.ts';
import { workerKilled } from '../src/scenarios/worker-killed.ts';

// A small part of `npm run test:faults`: every promise is looked at after each.

const TIMEOUT_MS = 300_000;
const options = { seed: 3, runs: 1, without: [] };

afterAll(stopAll);

test(
  'a worker that dies in a creation and in a removal',
  async () => {
    expect(await workerKilled({ ...options, steps: ['create', 'remove'] })).toBe(true);
  },
  TIMEOUT_MS,
);

test(
  'a Redis that dies and comes back with its file',
  async () => {
    const steps = ['killed, restarted with its file'];
    expect(await redisFaults({ ...options, steps })).toBe(true);
  },
  TIMEOUT_MS,
);
