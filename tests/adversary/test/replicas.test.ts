import { createServer } from 'node:net';
import { freePort, reaches } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';
import { startTestbed } from '../src/testbed.ts';
import { redisUnavailable, OUTAGES } from '../src/redis-unavailable.ts';
import { idleRace } from '../src/restart/idle-race.ts';
import { rollingRestart } from '../src/restart/rolling-restart.ts';

test('a stopping replica responds to every request', { timeout: 180_000 }, async () => {
  const result = await rollingRestart(2, 20);
  expect(result.failed).toEqual({});
  expect(result.exitCodes).toEqual([0, 0]);
  expect(result.tunnelsDrained).toBe(2);
});

// A load balancer sends requests as soon as a replica is ready. If its public port were not open
// yet, they would fail.
test('a replica whose public port is not open is not ready', { timeout: 60_000 }, async () => {
  const testbed = await startTestbed();
  onTestFinished(() => testbed.stop());
  const publicPort = await freePort();
  const adminPort = await freePort();
  const taken = createServer().listen(publicPort);
  onTestFinished(() => void taken.close());
  let failure: unknown;
  const start = testbed.replica({ publicPort, adminPort }).catch((error: unknown) => {
    failure = error;
  });
  let asked = 0;
  for (; failure === undefined; asked++) expect(await reaches(adminPort)).toBe(false);
  await start;
  expect((failure as Error).message).toContain('Cannot listen');
  expect(asked).toBeGreaterThan(10);
});

test(
  'a replica does not close idle connections before the balancer does',
  { timeout: 120_000 },
  async () => {
    const { outcomes } = await idleRace(200, 1_000);
    expect(Object.keys(outcomes)).toEqual(['200']);
  },
);

test.each(OUTAGES)(
  'while Redis is %s known routes are served',
  { timeout: 120_000 },
  async (outage) => {
    const { known, reconnecting, unknown, readiness, recovery } = await redisUnavailable(
      outage,
      6_000,
    );
    expect(Object.keys(known.answers)).toEqual(['200']);
    expect(Object.keys(reconnecting.answers)).toEqual(['200']);
    expect(Object.keys(unknown.answers)).toEqual(['503']);
    expect(readiness).toEqual({ ready: 503, running: 200 });
    expect(recovery).toBeLessThan(3_000);
  },
);
