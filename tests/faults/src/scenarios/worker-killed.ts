import { setTimeout as sleep } from 'node:timers/promises';
import { type App, print, randomFrom } from '@ephemera/test-support';
import { type Testbed, startTestbed } from '../testbed.ts';
import type { Options } from '../options.ts';
import { WORKER_STEPS } from '../injection/fault-points.ts';
import { countMarks, entryOf } from '../injection/process-plan.ts';
import { Report } from '../report.ts';
import { type Planned, plan } from './fault-plan.ts';
import { printExpectations, recover } from './recover.ts';

const RUNS = 20;
/** How many deaths come one after the other before anybody may recover. */
const ROUND = 6;
/** How long a worker may live that does not come to its step, ms. */
const MAX_LIFETIME_MS = 45_000;

/**
 * `kill -9` of a worker at every step; half of the runs with one worker beside the daemon, half
 * with two. Each is followed by the next that dies, so a job meets its second and third death too.
 */
export async function workerKilled(options: Options): Promise<boolean> {
  const random = randomFrom(options.seed);
  const report = new Report();
  const planned = plan(WORKER_STEPS, 'SIGKILL', options.runs ?? RUNS, options, random);
  const testbed = await startTestbed({ seed: options.seed + 1 });
  testbed.site.workers[0]?.child.kill('SIGKILL');
  try {
    for (let round = 0; planned.length > 0; round++) {
      const workers = 1 + (round % 2);
      const deaths = planned.splice(0, ROUND * workers);
      await killAll(testbed, deaths, workers, options, report);
      const steps = deaths.map(({ step }) => step);
      await recover(testbed, steps, { workers, without: options.without }, report);
    }
  } finally {
    await testbed.stop();
  }
  report.print();
  printExpectations(testbed);
  return report.holds;
}

/** Has so many workers at a time die the deaths, one after the other. */
async function killAll(
  testbed: Testbed,
  deaths: readonly Planned[],
  workers: number,
  { without }: Options,
  report: Report,
): Promise<void> {
  const waiting = [...deaths];
  const place = async () => {
    for (let death = waiting.shift(); death; death = waiting.shift()) {
      const entry = entryOf('worker', { faults: [death.fault], without });
      const worker = await testbed.site.startWorker({ entry, unawaited: true });
      const injected = await hasExited(worker);
      report.run(death.step, injected);
      if (!injected) print(`missed: ${JSON.stringify(death)}`);
    }
  };
  await Promise.all(Array.from({ length: workers }, place));
}

/** Waits until a process has died by its own hand; false where it never came to its step. */
export async function hasExited(
  { child, name, log }: App,
  timeoutMs = MAX_LIFETIME_MS,
): Promise<boolean> {
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  if (child.exitCode === null && child.signalCode === null) {
    await Promise.race([ended, sleep(timeoutMs, undefined, { ref: false })]);
  }
  if (child.exitCode !== null) throw new Error(`a ${name} ended by itself:\n${log()}`);
  if (child.signalCode !== null) return countMarks(log()) > 0;
  child.kill('SIGKILL');
  await ended;
  return false;
}
