import { type Random, shuffled } from '@ephemera/test-support';
import type { Options } from '../options.ts';
import { type Point, strikeAt } from '../steps/steps.ts';
import type { Strike } from '../steps/strike.ts';

/** A strike that a process is to meet, and the step that it is for. */
export interface Planned {
  readonly step: string;
  readonly strike: Strike;
}

/** Every step so many times, in an order by chance. */
export function plan(
  steps: Readonly<Record<string, readonly Point[]>>,
  signal: Strike['signal'],
  runs: number,
  { steps: only }: Options,
  random: Random,
): Planned[] {
  const planned: Planned[] = [];
  for (const [step, points] of Object.entries(steps)) {
    if (only.length > 0 && !only.includes(step)) continue;
    for (let run = 0; run < runs; run++) {
      planned.push({ step, strike: strikeAt(points, run, random, signal) });
    }
  }
  return shuffled(planned, random);
}
