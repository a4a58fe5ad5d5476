import { type Random, shuffled } from '@ephemera/test-support';
import type { Options } from '../options.ts';
import { type Point, faultAt } from '../steps/steps.ts';
import type { FaultInjection } from '../steps/fault-injection.ts';

/** A strike that a process is to meet, and the step that it is for. */
export interface Planned {
  readonly step: string;
  readonly fault: FaultInjection;
}

/** Every step so many times, in an order by chance. */
export function plan(
  steps: Readonly<Record<string, readonly Point[]>>,
  signal: FaultInjection['signal'],
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
