import { print, table } from '@ephemera/test-support';
import { GUARDS } from '../injection/guards.ts';
import { INVARIANTS } from '../invariants/invariants.ts';
import { killsCounted } from '../invariants/kills-counted.ts';
import type { Background } from '../load/background.ts';
import { templatesOf } from '../load/templates.ts';
import type { Options } from '../options.ts';
import { type Recovery, startTestbed } from '../testbed.ts';
import { GUARD_FAULTS } from './guard-faults.ts';

/** Without clients, the fault is the only thing that happens. */
const noBackground = (): Background => ({
  pause: () => Promise.resolve(),
  resume: () => undefined,
});

/**
 * Injects the fault that each guard repairs or prevents, twice: every invariant must hold with the
 * guard, and one must be broken without it.
 */
export async function guards({ seed, steps: only }: Options): Promise<boolean> {
  const chosen = Object.keys(GUARDS).filter((name) => only.length === 0 || only.includes(name));
  const rows: string[][] = [];
  let proved = true;
  for (const name of chosen) {
    const guarded = await recoveryOf(name, [], seed);
    const unguarded = await recoveryOf(name, [name], seed);
    for (const { invariant, what } of guarded.broken) print(`BROKEN ${invariant}: ${what}`);
    const detected = unguarded.broken.length > 0;
    if (!detected) print(`NOT DETECTED: the removal of the guard ${name}`);
    proved &&= guarded.broken.length === 0 && detected;
    const seconds = (guarded.took / 1000).toFixed(1);
    rows.push([
      ...[name, String(guarded.broken.length), `${seconds} s`, String(unguarded.broken.length)],
      unguarded.broken[0]?.invariant ?? '',
    ]);
  }
  print(table(['guard', 'broken with it', 'recovery', 'broken without it', 'invariant'], rows));
  return proved;
}

/** Injects the fault of one guard into a deployment of its own. */
async function recoveryOf(
  name: string,
  without: readonly string[],
  seed: number,
): Promise<Recovery> {
  const fault = GUARD_FAULTS[name];
  if (!fault) throw new Error(`the guard ${name} has no fault`);
  const testbed = await startTestbed({
    ...{ seed, workers: 0, proxies: 1, work: noBackground },
    templates: (receiverPort) => templatesOf(receiverPort, fault.pool ?? 0),
  });
  try {
    await fault.inject(testbed, without);
    const invariants = fault.countsKills ? [...INVARIANTS, killsCounted] : INVARIANTS;
    return await testbed.recovered({ invariants });
  } finally {
    await testbed.stop();
  }
}
