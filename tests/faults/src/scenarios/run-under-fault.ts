import { setTimeout as sleep } from 'node:timers/promises';
import { print } from '@ephemera/test-support';
import type { Testbed } from '../testbed.ts';
import type { Report } from '../report.ts';

/** How long the background works before and after a fault, ms. */
const WORK = 5_000;

/**
 * Makes a fault in the midst of work, waits until everything holds again, and counts what does not.
 * @param fault gives what did not hold while it lasted, in words
 * @param struck whether it has disturbed anything
 */
export async function runUnderFault(
  testbed: Testbed,
  report: Report,
  name: string,
  fault: () => Promise<readonly string[]>,
  injected: () => boolean = () => true,
): Promise<void> {
  await sleep(WORK);
  const meanwhile = await fault();
  const since = performance.now();
  report.run(name, injected());
  await sleep(WORK);
  const { took, broken } = await testbed.recovered({ since });
  const during = meanwhile.map((what) => ({ invariant: 'while it lasted', what }));
  report.recovered([name], took, [...during, ...broken]);
  print(`${name}: recovered in ${(took / 1000).toFixed(1)} s`);
  testbed.background.resume();
}
