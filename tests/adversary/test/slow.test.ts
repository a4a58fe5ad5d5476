import { describe, expect, test } from 'vitest';
import { aborts } from '../src/slow/aborts.ts';
import { silentClients } from '../src/slow/silent-clients.ts';
import { slowClients } from '../src/slow/slow-clients.ts';

// Most of the time is spent in being silent: all at once.
describe.concurrent('clients that fall silent are cut', { timeout: 120_000 }, () => {
  test('in a head: after 15 s', async ({ expect }) => {
    const { firstCut, lastCut } = await silentClients('head', 50);
    expect(firstCut).toBeGreaterThan(14);
    expect(lastCut).toBeLessThan(25);
  });

  test('in a body: after the response timeout', async ({ expect }) => {
    const env = { EPHEMERA_RESPONSE_TIMEOUT: '3s' };
    const { firstCut, lastCut } = await silentClients('body', 50, env);
    // It is looked at every quarter of a second.
    expect(firstCut).toBeGreaterThan(2.5);
    expect(lastCut).toBeLessThan(13);
  });

  test('in taking an answer: after 60 s', async ({ expect }) => {
    const { firstCut, lastCut } = await silentClients('reading', 50);
    expect(firstCut).toBeGreaterThan(59);
    expect(lastCut).toBeLessThan(75);
  });
});

test('slow clients leave others their answers', { timeout: 120_000 }, async () => {
  const { failed, max } = await slowClients('headers', {
    connections: 100,
    rounds: 1,
    seconds: 5,
  });
  expect(failed).toEqual({});
  expect(max).toBeGreaterThanOrEqual(90);
});

test('clients that leave take everything with them', { timeout: 120_000 }, async () => {
  const result = await aborts(500);
  expect(result.descriptorsAfter).toBeLessThanOrEqual(result.descriptorsBefore);
  expect(result.upstreamLeft).toBe(0);
});
