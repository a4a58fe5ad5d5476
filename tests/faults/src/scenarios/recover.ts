import { print } from '@ephemera/test-support';
import type { Testbed } from '../testbed.ts';
import type { Options } from '../options.ts';
import { entryOf } from '../injection/process-plan.ts';
import type { Report } from '../report.ts';

/**
 * Starts workers without faults, waits until every invariant holds, and counts the violations. Then
 * kills these workers at a random point of their work and resumes the background.
 */
export async function recover(
  testbed: Testbed,
  steps: readonly string[],
  { workers, without }: Pick<Options, 'without'> & { readonly workers: number },
  report: Report,
): Promise<void> {
  const starting = Array.from({ length: workers }, () =>
    testbed.site.startWorker({ entry: entryOf('worker', { without }) }),
  );
  const alive = await Promise.all(starting);
  const { took, broken } = await testbed.recovered({ since: performance.now() });
  report.recovered(steps, took, broken);
  print(`${steps.join(', ')}: recovered in ${(took / 1000).toFixed(1)} s`);
  testbed.background.resume();
  for (const { child } of alive) child.kill('SIGKILL');
}

export function printExpectations({ expectations }: Testbed): void {
  const { promised, renewals, answers, refused } = expectations;
  print(
    `${promised.size} creations and ${renewals} renewals acknowledged, ${answers} responses from ` +
      `instances; refused or cut: ${JSON.stringify(refused)}`,
  );
}
