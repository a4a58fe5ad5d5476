import { setTimeout as sleep } from 'node:timers/promises';
import { print, table } from '@ephemera/test-support';
import { type Testbed, startTestbed } from '../testbed.ts';
import { killsCounted } from '../invariants/kills-counted.ts';
import { INVARIANTS } from '../invariants/invariants.ts';
import type { Options } from '../options.ts';
import { entryOf } from '../injection/process-plan.ts';
import { printExpectations } from './recover.ts';

/** How many instances each mode creates. */
const RUNS = 60;
const MAX_DELAY_MS = 5 * 60_000;

/** Runs every job of two workers twice: sequentially, and concurrently. */
export async function twice(options: Options): Promise<boolean> {
  const rows: string[][] = [];
  let held = true;
  for (const how of ['in a row', 'at once'] as const) {
    const args = { entry: entryOf('worker', { twice: how, without: options.without }) };
    const testbed = await startTestbed({
      seed: options.seed + 1,
      workers: 0,
      async prepare(site) {
        await site.startWorker(args);
        await site.startWorker(args);
      },
    });
    try {
      await lives(testbed, options.runs ?? RUNS);
      const { took, broken } = await testbed.recovered({
        invariants: [...INVARIANTS, killsCounted],
      });
      for (const { invariant, what } of broken) print(`BROKEN ${invariant}: ${what} (${how})`);
      held &&= broken.length === 0;
      const { promised } = testbed.expectations;
      const seconds = (took / 1000).toFixed(1);
      rows.push([how, String(promised.size), String(broken.length), `${seconds} s`]);
      printExpectations(testbed);
    } finally {
      await testbed.stop();
    }
  }
  print(table(['every job twice', 'instances', 'broken', 'settled after'], rows));
  return held;
}

async function lives({ expectations }: Testbed, count: number): Promise<void> {
  const end = performance.now() + MAX_DELAY_MS;
  while (expectations.promised.size < count && performance.now() < end) await sleep(200);
}
