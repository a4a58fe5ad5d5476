import { print } from '@ephemera/test-support';
import type { Ground } from '../ground.ts';
import type { Options } from '../options.ts';
import { entryOf } from '../injection/process-plan.ts';
import type { Tally } from '../tally.ts';

/**
 * Starts so many workers that live, waits until everything holds again, and counts what does not.
 * Then these die too, wherever they stand, and the background goes on.
 */
export async function recover(
  ground: Ground,
  steps: readonly string[],
  { workers, without }: Pick<Options, 'without'> & { readonly workers: number },
  tally: Tally,
): Promise<void> {
  const starting = Array.from({ length: workers }, () =>
    ground.site.startWorker({ entry: entryOf('worker', { without }) }),
  );
  const alive = await Promise.all(starting);
  const { took, broken } = await ground.recovered({ since: performance.now() });
  tally.recovered(steps, took, broken);
  print(`${steps.join(', ')}: recovered in ${(took / 1000).toFixed(1)} s`);
  ground.background.resume();
  for (const { child } of alive) child.kill('SIGKILL');
}

export function printLedger({ ledger }: Ground): void {
  const { promised, renewals, answers, refused } = ledger;
  print(
    `${promised.size} creations and ${renewals} renewals acknowledged, ${answers} answers of ` +
      `instances; refused or cut: ${JSON.stringify(refused)}`,
  );
}
