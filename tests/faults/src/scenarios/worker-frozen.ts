import { setTimeout as sleep } from 'node:timers/promises';
import { WORKER_OPTIONS } from '@ephemera/queue';
import { type App, print, randomFrom } from '@ephemera/test-support';
import { type Testbed, startTestbed } from '../testbed.ts';
import type { Options } from '../options.ts';
import { WORKER_STEPS } from '../injection/fault-points.ts';
import { countMarks, entryOf } from '../injection/process-plan.ts';
import { Report } from '../report.ts';
import { type Planned, plan } from './fault-plan.ts';
import { printExpectations, recover } from './recover.ts';

const RUNS = 20;
/** How often one worker is stopped before it is replaced. */
const TURNS = 5;
/** Number of workers in each round. */
const WORKERS = [1, 4, 2, 4];
/** How long a worker may run without reaching its next step, ms. */
const MAX_LIFETIME_MS = 120_000;

/**
 * Stops a worker with SIGSTOP at every step for longer than its job locks last, then continues it.
 * Meanwhile another worker has taken over its jobs, or the same worker processes them twice.
 */
export async function workerFrozen(options: Options): Promise<boolean> {
  const random = randomFrom(options.seed);
  const report = new Report();
  const planned = plan(WORKER_STEPS, 'SIGSTOP', options.runs ?? RUNS, options, random);
  const testbed = await startTestbed({ seed: options.seed + 1 });
  testbed.site.workers[0]?.child.kill('SIGKILL');
  const pause = () => WORKER_OPTIONS.lockDuration + 500 + random(2_500);
  try {
    for (let round = 0; planned.length > 0; round++) {
      const workers = WORKERS[round % WORKERS.length] ?? 1;
      const stops = planned.splice(0, TURNS * workers);
      const places = Array.from({ length: workers }, (_, place) =>
        stops.filter((_stop, i) => i % workers === place),
      );
      const done = await Promise.all(
        places.map((turns) => freezeAll(testbed, turns, pause, options, report)),
      );
      // A worker that did not reach its step would reach it during the recovery.
      for (const { child } of done) child.kill('SIGKILL');
      const steps = stops.map(({ step }) => step);
      await recover(
        testbed,
        steps,
        { workers: Math.min(workers, 2), without: options.without },
        report,
      );
    }
  } finally {
    await testbed.stop();
  }
  report.print();
  printExpectations(testbed);
  return report.holds;
}

/** Stops and continues one worker at each of its turns. */
async function freezeAll(
  testbed: Testbed,
  turns: readonly Planned[],
  pause: () => number,
  { without }: Options,
  report: Report,
): Promise<App> {
  const faults = turns.map(({ fault }) => fault);
  const worker = await testbed.site.startWorker({
    entry: entryOf('worker', { faults, without }),
    unawaited: true,
  });
  const { child, log } = worker;
  for (const [i, turn] of turns.entries()) {
    const injected = await marked(worker, i + 1);
    report.run(turn.step, injected);
    if (!injected) {
      print(`missed: ${JSON.stringify(turn)}`);
      for (const { step } of turns.slice(i + 1)) report.run(step, false);
      break;
    }
    await sleep(pause());
    child.kill('SIGCONT');
    if (child.exitCode !== null) throw new Error(`a worker exited unexpectedly:\n${log()}`);
  }
  // Leaves the worker time to continue the jobs that it was processing.
  await sleep(1_000);
  return worker;
}

/** Waits until a worker has stopped itself this many times. */
async function marked({ log }: App, times: number): Promise<boolean> {
  const end = performance.now() + MAX_LIFETIME_MS;
  while (performance.now() < end) {
    if (countMarks(log()) >= times) return true;
    await sleep(20);
  }
  return false;
}
