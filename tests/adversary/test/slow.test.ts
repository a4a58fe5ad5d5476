import { describe, expect, test } from 'vitest';
import { aborts } from '../src/slow/aborts.ts';
import { idleClients } from '../src/slow/idle-clients.ts';
import { silentClients } from '../src/slow/silent-clients.ts';
import { slowClients } from '../src/slow/slow-clients.ts';

// Most of the time passes in silence, so the tests run concurrently.
describe.concurrent('silent clients are disconnected', { timeout: 120_000 }, () => {
  test('in a head: after 15 s', async ({ expect }) => {
    const { firstCut, lastCut } = await silentClients('head', 50);
    expect(firstCut).toBeGreaterThan(14);
    expect(lastCut).toBeLessThan(25);
  });

  test('in a body: after the response timeout', async ({ expect }) => {
    const env = { EPHEMERA_RESPONSE_TIMEOUT: '3s' };
    const { firstCut, lastCut } = await silentClients('body', 50, env);
    // The pools are swept every quarter of a second.
    expect(firstCut).toBeGreaterThan(2.5);
    expect(lastCut).toBeLessThan(13);
  });

  test('while reading a response: after 60 s', async ({ expect }) => {
    const { firstCut, lastCut } = await silentClients('reading', 50);
    expect(firstCut).toBeGreaterThan(59);
    expect(lastCut).toBeLessThan(75);
  });
});

test(
  'other clients get their responses during an attack by slow clients',
  { timeout: 120_000 },
  async () => {
    const { failed, max } = await slowClients('headers', {
      connections: 100,
      rounds: 1,
      seconds: 5,
    });
    expect(failed).toEqual({});
    expect(max).toBeGreaterThanOrEqual(90);
  },
);

test('disconnected clients leave nothing behind', { timeout: 120_000 }, async () => {
  const result = await aborts(500);
  expect(result.descriptorsAfter).toBeLessThanOrEqual(result.descriptorsBefore);
  expect(result.upstreamLeft).toBe(0);
});

test(
  'other clients and the admin port are served while one address holds idle connections',
  { timeout: 120_000 },
  async () => {
    const limit = { EPHEMERA_CONNECTIONS_PER_ADDRESS: '50' };
    const { held, visitor, earlier, readiness, refused, logLines } = await idleClients(300, limit);
    expect(held).toBe(50);
    expect({ visitor, earlier, readiness }).toEqual({ visitor: 200, earlier: 200, readiness: 200 });
    expect(refused).toBe(250);
    expect(logLines).toBe(1);
  },
);
