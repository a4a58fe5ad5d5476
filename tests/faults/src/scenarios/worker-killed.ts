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
/** How many workers die in sequence before a recovery. */
const ROUND = 6;
/** How long a worker may run without reaching its step, ms. */
const MAX_LIFETIME_MS = 120_000;

/**
 * Sends SIGKILL to a worker at every step. Rounds with one worker alternate with rounds of two.
 * Each worker is followed by another that dies too, so a job may fail several times.
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

/** Kills the workers at their faults, `workers` of them at a time. */
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

/** Waits until a process has killed itself. Returns false if it never reached its step. */
export async function hasExited(
  { child, name, log }: App,
  timeoutMs = MAX_LIFETIME_MS,
): Promise<boolean> {
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  if (child.exitCode === null && child.signalCode === null) {
    await Promise.race([ended, sleep(timeoutMs, undefined, { ref: false })]);
  }
  if (child.exitCode !== null) throw new Error(`a ${name} exited unexpectedly:\n${log()}`);
  if (child.signalCode !== null) return countMarks(log()) > 0;
  child.kill('SIGKILL');
  await ended;
  return false;
}
