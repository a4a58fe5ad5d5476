import { setTimeout as sleep } from 'node:timers/promises';
import { print, randomFrom, shuffled } from '@ephemera/test-support';
import type { Random } from '@ephemera/test-support';
import { type Testbed, startTestbed } from '../testbed.ts';
import { printExpectations } from '../scenarios/recover.ts';
import { Report } from '../report.ts';
import { liveIds } from '../load/background.ts';
import { FAULTS, pidOf, running } from './faults.ts';
import { Samples } from './samples.ts';
import { soakTemplates } from './templates.ts';
import { startWork } from './work.ts';

const MINUTE = 60_000;
/** Time without a fault at the start of each minute, ms. */
const QUIET = 30_000;
const SAMPLE_EVERY = 10_000;

/**
 * Runs mixed work with one random fault per minute. Every invariant must hold after each fault.
 * Prints the memory and descriptors of every process. Returns whether all invariants held.
 */
export async function soak(minutes: number, seed: number): Promise<boolean> {
  const report = new Report();
  const samples = new Samples();
  const draw = deck(randomFrom(seed));
  const testbed = await startTestbed({
    seed: seed + 1,
    workers: 2,
    proxies: 2,
    templates: soakTemplates,
    work: startWork,
    // Tombstones must outlast the run, so that every acknowledged instance can be checked.
    env: { EPHEMERA_TOMBSTONE: String(minutes * 60 + 900) },
  });
  const sampling = setInterval(() => void samples.take(processesOf(testbed)), SAMPLE_EVERY);
  let cut: string | undefined;
  try {
    print(`${minutes} minutes, seed ${seed}`);
    const end = performance.now() + minutes * MINUTE;
    for (let minute = 1; performance.now() + QUIET < end; minute++) {
      const next = performance.now() + MINUTE;
      await sleep(QUIET);
      const before = testbed.expectations.answers;
      const [name, fault] = draw();
      await fault(testbed);
      await sleep(5_000);
      const live = liveIds(testbed.expectations).length;
      // First waits for the requests in flight. Their duration depends on the machine and does not
      // count as recovery.
      await testbed.background.pause();
      const { took, broken } = await testbed.recovered();
      report.run(name, true);
      report.recovered([name], took, broken);
      print(
        `${new Date().toISOString()} minute ${minute}: ${name}; ${live} live, ` +
          `${testbed.expectations.answers - before} answers since the fault, ` +
          `all held after ${(took / 1000).toFixed(1)} s, ${broken.length} broken`,
      );
      testbed.background.resume();
      await sleep(Math.max(0, next - performance.now()));
    }
  } catch (error) {
    cut = error instanceof Error ? (error.stack ?? error.message) : String(error);
    print(`INTERRUPTED ${cut}`);
  } finally {
    clearInterval(sampling);
    await testbed.stop();
  }
  print('');
  report.print();
  print('');
  print(samples.print());
  print('');
  printExpectations(testbed);
  return cut === undefined && report.holds;
}

/** Draws the faults in random order. Every fault occurs once before any is repeated. */
function deck(random: Random): () => [string, (testbed: Testbed) => Promise<void>] {
  let cards: [string, (testbed: Testbed) => Promise<void>][] = [];
  return () => {
    if (cards.length === 0) cards = shuffled(Object.entries(FAULTS), random);
    const card = cards.pop();
    if (!card) throw new Error('there are no faults');
    return card;
  };
}

function processesOf({ site }: Testbed): Record<string, number> {
  const named = (apps: Parameters<typeof running>[0]) =>
    running(apps).map((app) => [`${app.name} ${app.port}`, pidOf(app)] as const);
  return Object.fromEntries([
    ...named(site.workers),
    ...named(site.proxies),
    ['redis', site.redis.pid],
    ['the soak command', process.pid],
  ]);
}
