import { setTimeout as sleep } from 'node:timers/promises';
import { print, randomFrom } from '@ephemera/test-support';
import { type Testbed, startTestbed } from '../testbed.ts';
import type { Options } from '../options.ts';
import { PROXY_STEPS } from '../injection/fault-points.ts';
import { entryOf } from '../injection/process-plan.ts';
import { Report } from '../report.ts';
import { type Planned, plan } from './fault-plan.ts';
import { printExpectations } from './recover.ts';
import { hasExited } from './worker-killed.ts';

const RUNS = 20;
const ROUND = 12;
/** How long a proxy may run without reaching its step, ms. */
const MAX_LIFETIME_MS = 120_000;

/**
 * Sends SIGKILL to one of two proxies during a request or during its drain. The clients repeat
 * unanswered requests through the other proxy.
 */
export async function proxyKilled(options: Options): Promise<boolean> {
  const random = randomFrom(options.seed);
  const report = new Report();
  const runs = options.runs ?? RUNS;
  const planned = plan(PROXY_STEPS, 'SIGKILL', runs, options, random);
  const testbed = await startTestbed({ seed: options.seed + 1, workers: 1 });
  try {
    while (planned.length > 0) {
      const deaths = planned.splice(0, ROUND);
      for (const death of deaths) {
        const injected = await killOnce(testbed, death, random(1_000), options);
        report.run(death.step, injected);
        if (!injected) print(`missed: ${JSON.stringify(death)}`);
      }
      const replica = { entry: entryOf('proxy', { without: options.without }) };
      await testbed.site.startProxy(replica, 1);
      const steps = deaths.map(({ step }) => step);
      const { took, broken } = await testbed.recovered({ since: performance.now() });
      report.recovered(steps, took, broken);
      print(`${steps.join(', ')}: recovered in ${(took / 1000).toFixed(1)} s`);
      testbed.background.resume();
    }
  } finally {
    await testbed.stop();
  }
  report.print();
  printExpectations(testbed);
  return report.holds;
}

/**
 * Replaces the second proxy by one that dies as planned. Returns whether the fault was injected.
 */
async function killOnce(
  { site }: Testbed,
  { step, fault }: Planned,
  pause: number,
  { without }: Options,
): Promise<boolean> {
  const before = site.proxies[1]?.child;
  if (before?.exitCode === null && before.signalCode === null) {
    before.kill('SIGKILL');
    await new Promise((resolve) => before.once('exit', resolve));
  }
  const isDrain = step === 'drain';
  const entry = entryOf('proxy', { faults: isDrain ? [] : [fault], without });
  const proxy = await site.startProxy({ entry, unawaited: true }, 1);
  if (!isDrain) return hasExited(proxy, MAX_LIFETIME_MS);
  while (!proxy.log().includes('proxy ready')) await sleep(20);
  await sleep(500);
  proxy.child.kill('SIGTERM');
  await sleep(pause);
  const { child } = proxy;
  if (child.exitCode !== null) return true;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
  return true;
}
