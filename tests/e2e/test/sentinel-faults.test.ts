import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type SentinelSite, deployOnSentinel, elected } from './failover.ts';
import { expectNothingLost, loadDuring } from './failover.ts';

// The master of a deployment fails under load.

let site: SentinelSite;

beforeEach(async () => {
  site = await deployOnSentinel({ downAfterMs: 2_000 });
});
afterEach(() => site.stop());

test('the master is killed', async () => {
  const { set } = site;
  const { pid, port } = await set.master();
  const report = await loadDuring(site, async () => {
    process.kill(pid, 'SIGKILL');
    await elected(set, port);
  });
  await expectNothingLost(site, 'killed master', report);
});

// A frozen process stands for a machine that is cut off: it closes no connection and answers nothing.
// When it continues, it believes to be the master until the sentinels correct it.
test('the master is cut off, and comes back', async () => {
  const { set } = site;
  const { pid, port } = await set.master();
  const report = await loadDuring(site, async () => {
    process.kill(pid, 'SIGSTOP');
    await elected(set, port);
    process.kill(pid, 'SIGCONT');
  });
  await expectNothingLost(site, 'master cut off', report);
});

// The master accepts writes while its replicas lag by less than `min-replicas-max-lag`, and dies. No
// creation of that time may be acknowledged. (The kernel of one machine still delivers what a killed
// process has sent, so this test cannot show a loss; `sentinel` does, without the confirmation.)
test('the master is killed while its replicas lag', async () => {
  const { set } = site;
  const { pid, port } = await set.master();
  const replicas = set.nodes.filter((node) => node.port !== port);
  const report = await loadDuring(site, async () => {
    for (const replica of replicas) process.kill(replica.pid, 'SIGSTOP');
    await sleep(1_000);
    process.kill(pid, 'SIGKILL');
    for (const replica of replicas) process.kill(replica.pid, 'SIGCONT');
    await elected(set, port);
  });
  expect(Object.keys(report.refusals)).not.toEqual([]);
  await expectNothingLost(site, 'killed master with lagging replicas', report);
});
