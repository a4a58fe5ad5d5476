import { setTimeout as sleep } from 'node:timers/promises';
import { print } from '@ephemera/test-support';
import type { Testbed } from '../testbed.ts';
import type { Report } from '../report.ts';

/** How long the background works before and after a fault, ms. */
const WORK = 5_000;

/**
 * Injects a fault during the work, waits until every invariant holds again, and counts those that do
 * not.
 * @param fault returns what did not hold while the fault lasted, in words
 * @param injected whether the fault disturbed anything
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
