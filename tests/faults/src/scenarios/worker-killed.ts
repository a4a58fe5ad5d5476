import { setTimeout as sleep } from 'node:timers/promises';
import { type App, print, randomFrom } from '@ephemera/test-support';
import { type Ground, startGround } from '../ground.ts';
import type { Options } from '../options.ts';
import { WORKER_STEPS } from '../injection/fault-points.ts';
import { countMarks, entryOf } from '../injection/process-plan.ts';
import { Tally } from '../tally.ts';
import { type Planned, plan } from './plan.ts';
import { printLedger, recover } from './recover.ts';

const RUNS = 20;
/** How many deaths come one after the other before anybody may recover. */
const ROUND = 6;
/** How long a worker may live that does not come to its step, ms. */
const LONGEST_LIFE = 45_000;

/**
 * `kill -9` of a worker at every step; half of the runs with one worker beside the daemon, half
 * with two. Each is followed by the next that dies, so a job meets its second and third death too.
 */
export async function workerKilled(options: Options): Promise<boolean> {
  const random = randomFrom(options.seed);
  const tally = new Tally();
  const planned = plan(WORKER_STEPS, 'SIGKILL', options.runs ?? RUNS, options, random);
  const ground = await startGround({ seed: options.seed + 1 });
  ground.site.workers[0]?.child.kill('SIGKILL');
  try {
    for (let round = 0; planned.length > 0; round++) {
      const workers = 1 + (round % 2);
      const deaths = planned.splice(0, ROUND * workers);
      await dieAll(ground, deaths, workers, options, tally);
      const steps = deaths.map(({ step }) => step);
      await recover(ground, steps, { workers, without: options.without }, tally);
    }
  } finally {
    await ground.stop();
  }
  tally.print();
  printLedger(ground);
  return tally.holds;
}

/** Has so many workers at a time die the deaths, one after the other. */
async function dieAll(
  ground: Ground,
  deaths: readonly Planned[],
  workers: number,
  { without }: Options,
  tally: Tally,
): Promise<void> {
  const waiting = [...deaths];
  const place = async () => {
    for (let death = waiting.shift(); death; death = waiting.shift()) {
      const entry = entryOf('worker', { faults: [death.fault], without });
      const worker = await ground.site.startWorker({ entry, unawaited: true });
      const struck = await died(worker);
      tally.run(death.step, struck);
      if (!struck) print(`missed: ${JSON.stringify(death)}`);
    }
  };
  await Promise.all(Array.from({ length: workers }, place));
}

/** Waits until a process has died by its own hand; false where it never came to its step. */
export async function died({ child, name, log }: App, within = LONGEST_LIFE): Promise<boolean> {
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  if (child.exitCode === null && child.signalCode === null) {
    await Promise.race([ended, sleep(within, undefined, { ref: false })]);
  }
  if (child.exitCode !== null) throw new Error(`a ${name} ended by itself:\n${log()}`);
  if (child.signalCode !== null) return countMarks(log()) > 0;
  child.kill('SIGKILL');
  await ended;
  return false;
}
