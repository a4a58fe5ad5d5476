import { setTimeout as sleep } from 'node:timers/promises';
import { print } from '@ephemera/test-support';
import type { Testbed } from '../testbed.ts';
import type { Report } from '../report.ts';

/** How long the background runs before and after a fault, ms. */
const WORK = 5_000;

/**
 * Injects a fault while the background runs, waits until every invariant holds, and counts the
 * violations.
 * @param fault returns descriptions of what was wrong while the fault lasted
 * @param injected whether the fault affected anything
 */
export async function runUnderFault(
  testbed: Testbed,
  report: Report,
  name: string,
  fault: () => Promise<readonly string[]>,
  injected: () => boolean = () => true,
): Promise<void> {
  await sleep(WORK);
  const violations = await fault();
  const since = performance.now();
  report.run(name, injected());
  await sleep(WORK);
  const { took, broken } = await testbed.recovered({ since });
  const during = violations.map((what) => ({ invariant: 'during the fault', what }));
  report.recovered([name], took, [...during, ...broken]);
  print(`${name}: recovered in ${(took / 1000).toFixed(1)} s`);
  testbed.background.resume();
}
