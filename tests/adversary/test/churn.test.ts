import { expect, test } from 'vitest';
import { churn } from '../src/churn/churn.ts';
import { proxyFences } from '../src/churn/fences.ts';

// Instances are killed and created continuously, each at the address of the one before, while
// invalidations are lost and replicas are stopped. `npm run test:adversary -- churn` runs longer.

test('no response comes from another instance', { timeout: 120_000 }, async () => {
  const result = await churn({ answers: 8_000, atMostMs: 60_000, seed: 1 });
  expect(result.answers).toBeGreaterThan(1_000);
  expect(result.wrongAnswers).toBe(0);
  expect(result.strays).toEqual([]);
});

test('without any fence the same churn finds wrong responses', { timeout: 120_000 }, async () => {
  const removed = proxyFences;
  const result = await churn({
    answers: 20_000,
    atMostMs: 60_000,
    seed: 1,
    removed,
    killsFirst: true,
  });
  expect(result.wrongAnswers).toBeGreaterThan(0);
});
