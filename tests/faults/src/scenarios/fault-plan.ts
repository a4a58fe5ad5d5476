import { type Random, shuffled } from '@ephemera/test-support';
import type { Options } from '../options.ts';
import { type FaultPoint, faultAt } from '../injection/fault-points.ts';
import type { Fault } from '../injection/process-plan.ts';

/** A fault that a process is to inject, and the step that it belongs to. */
export interface Planned {
  readonly step: string;
  readonly fault: Fault;
}

/** Every step `runs` times, in random order. */
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
