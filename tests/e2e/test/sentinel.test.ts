import { afterAll, beforeAll, test } from 'vitest';
import { type SentinelSite, deployOnSentinel, elected } from './failover.ts';
import { expectNothingLost, loadDuring } from './failover.ts';

// A planned failover under load. `sentinel-faults` has the failovers after a fault.

let site: SentinelSite;

beforeAll(async () => {
  site = await deployOnSentinel();
});
afterAll(() => site.stop());

test('a planned failover loses no acknowledged creation, and no visitor notices it', async () => {
  const { port } = await site.set.master();
  const report = await loadDuring(site, async () => {
    await site.set.failover();
    await elected(site.set, port);
  });
  await expectNothingLost(site, 'planned failover', report);
});
