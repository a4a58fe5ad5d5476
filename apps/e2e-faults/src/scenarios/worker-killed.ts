import { setTimeout as sleep } from 'node:timers/promises';
import { type App, type Random, print, randomFrom, shuffled } from '@ephemera/testing';
import { type Ground, startGround } from '../ground.ts';
import type { Options } from '../options.ts';
import { WORKER_STEPS, strikeAt } from '../steps/steps.ts';
import { type Strike, countMarks, nodeArgs } from '../steps/strike.ts';
import { Tally } from '../tally.ts';

/** A death that a worker is to die. */
export interface Planned {
  readonly step: string;
  readonly strike: Strike;
}

const RUNS = 20;
/** How many deaths come one after the other before anybody may recover. */
const ROUND = 6;
/** How long a worker may live that does not come to its step, ms. */
const LONGEST_LIFE = 30_000;

/** `kill -9` of a worker at every step; half of the runs with one worker beside the daemon, half with two. */
export async function workerKilled(options: Options): Promise<boolean> {
  const random = randomFrom(options.seed);
  const tally = new Tally();
  const planned = plan(options, random);
  const ground = await startGround({ seed: options.seed + 1, workers: 0 });
  try {
    for (let round = 0; planned.length > 0; round++) {
      const workers = 1 + (round % 2);
      const deaths = planned.splice(0, ROUND * workers);
      await dieAll(ground, deaths, workers, options, tally);
      const steps = deaths.map(({ step }) => step);
      const { took, broken } = await recover(ground, workers, options);
      tally.recovered(steps, took, broken);
      print(`round ${round}: ${steps.join(', ')}: recovered in ${(took / 1000).toFixed(1)} s`);
    }
  } finally {
    await ground.stop();
  }
  tally.print();
  printLedger(ground);
  return tally.holds;
}

/** Every step so many times, in an order by chance. */
export function plan({ runs = RUNS, step: only }: Options, random: Random): Planned[] {
  const planned: Planned[] = [];
  for (const [step, points] of Object.entries(WORKER_STEPS)) {
    if (only !== undefined && step !== only) continue;
    for (let run = 0; run < runs; run++) {
      planned.push({ step, strike: strikeAt(points, run, random, 'SIGKILL') });
    }
  }
  return shuffled(planned, random);
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
      const args = nodeArgs({ strikes: [death.strike], without });
      const worker = await ground.site.startWorker({ nodeArgs: args, unawaited: true });
      const struck = await died(worker);
      tally.run(death.step, struck);
      if (!struck) print(`missed: ${JSON.stringify(death)}`);
    }
  };
  await Promise.all(Array.from({ length: workers }, place));
}

/** Waits until a worker has died by its own hand; false where it never came to its step. */
async function died({ child, log }: App): Promise<boolean> {
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await Promise.race([ended, sleep(LONGEST_LIFE, undefined, { ref: false })]);
  if (child.exitCode !== null) throw new Error(`a worker ended by itself:\n${log()}`);
  if (child.signalCode !== null) return countMarks(log()) > 0;
  child.kill('SIGKILL');
  await ended;
  return false;
}

/** Starts workers that live, lets the background go on for a moment, and looks; then kills them too. */
async function recover(ground: Ground, workers: number, { without }: Options) {
  const starting = Array.from({ length: workers }, () =>
    ground.site.startWorker({ nodeArgs: nodeArgs({ without }) }),
  );
  const alive = await Promise.all(starting);
  const since = performance.now();
  const recovery = await ground.recovered({ since });
  ground.background.resume();
  for (const { child } of alive) child.kill('SIGKILL');
  return recovery;
}

export function printLedger({ ledger }: Ground): void {
  const { promised, renewals, answers, refused } = ledger;
  print(
    `${promised.size} creations and ${renewals} renewals acknowledged, ${answers} answers of ` +
      `instances; refused or cut: ${JSON.stringify(refused)}`,
  );
}
