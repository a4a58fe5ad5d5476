import { type Random, shuffled } from '@ephemera/test-support';
import type { Options } from '../options.ts';
import { type FaultPoint, faultAt } from '../injection/fault-points.ts';
import type { Fault } from '../injection/process-plan.ts';

/** A planned fault with its step. */
export interface Planned {
  readonly step: string;
  readonly fault: Fault;
}

/** Plans `runs` runs of every step, in random order. */
export function plan(
  steps: Readonly<Record<string, readonly FaultPoint[]>>,
  signal: Fault['signal'],
  runs: number,
  { steps: only }: Options,
  random: Random,
): Planned[] {
  const planned: Planned[] = [];
  for (const [step, points] of Object.entries(steps)) {
    if (only.length > 0 && !only.includes(step)) continue;
    for (let run = 0; run < runs; run++) {
      planned.push({ step, fault: faultAt(points, run, random, signal) });
    }
  }
  return shuffled(planned, random);
}
