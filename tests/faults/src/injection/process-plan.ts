import { join } from 'node:path';
import type { PortCall } from './port-calls.ts';

/** When a fault happens: before a call, while it runs, or once it has settled. */
export type Moment = 'before' | 'during' | 'after';

/** A signal that a process sends itself at a call of one of its ports. */
export interface Fault {
  readonly call: PortCall;
  readonly moment: Moment;
  /** The call of that name since the previous fault, counted from 1. */
  readonly nth: number;
  /** Milliseconds after the call has begun; only for `during`. */
  readonly delay: number;
  readonly signal: 'SIGKILL' | 'SIGSTOP';
}

/** How a process of a test differs from the product's own. */
export interface ProcessPlan {
  /** One after the other. */
  readonly faults?: readonly Fault[];
  /** Guards that are removed; guards.ts lists them. */
  readonly without?: readonly string[];
  /** Runs every job a second time: after the first run, or at the same time. */
  readonly twice?: 'in a row' | 'at once' | undefined;
}

/** Program and arguments of node that start a worker or a proxy by a plan. */
export function entryOf(app: 'worker' | 'proxy', plan: ProcessPlan): string[] {
  return [join(import.meta.dirname, `../processes/${app}.ts`), JSON.stringify(plan)];
}

/** The plan that this process was started with. */
export function readPlan(argv: readonly string[] = process.argv): ProcessPlan {
  return JSON.parse(argv[2] ?? '{}') as ProcessPlan;
}

const MARK = 'fault injected ';

/** What a process writes immediately before it sends itself the signal. */
export function markOf({ call, moment }: Fault): string {
  return `${MARK}${moment} ${call}`;
}

/** How many faults a process has injected, by its own log. */
export function countMarks(log: string): number {
  return log.split(MARK).length - 1;
}
