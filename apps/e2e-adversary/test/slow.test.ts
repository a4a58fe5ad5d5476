import { expect, test } from 'vitest';
import { aborts } from '../src/slow/aborts.ts';
import { silentClients } from '../src/slow/silent-clients.ts';
import { slowClients } from '../src/slow/slow-clients.ts';

test('heads that do not end are cut in 15 s', { timeout: 120_000 }, async () => {
  const { firstCut, lastCut } = await silentClients('head', 50);
  expect(firstCut).toBeGreaterThan(14);
  expect(lastCut).toBeLessThan(25);
});

test('slow clients leave others their answers', { timeout: 120_000 }, async () => {
  const { failed, most } = await slowClients('headers', {
    connections: 100,
    rounds: 1,
    seconds: 5,
  });
  expect(failed).toEqual({});
  expect(most).toBeGreaterThanOrEqual(90);
});

test('clients that leave take everything with them', { timeout: 120_000 }, async () => {
  const result = await aborts(500);
  expect(result.descriptorsAfter).toBeLessThanOrEqual(result.descriptorsBefore);
  expect(result.upstreamLeft).toBe(0);
});
