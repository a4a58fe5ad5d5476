import { join } from 'node:path';
import type { PortCall } from './port-calls.ts';

/** When a fault is injected: before a call, while it runs, or after it has settled. */
export type Moment = 'before' | 'during' | 'after';

/** A signal that a process sends to itself at a call of one of its ports. */
export interface Fault {
  readonly call: PortCall;
  readonly moment: Moment;
  /** Which matching call since the previous fault, counted from 1. */
  readonly nth: number;
  /** Milliseconds after the start of the call; only for `during`. */
  readonly delay: number;
  readonly signal: 'SIGKILL' | 'SIGSTOP';
}

/** The differences between a test process and the production process. */
export interface ProcessPlan {
  /** Injected in this order. */
  readonly faults?: readonly Fault[];
  /** Names of guards to remove; see guards.ts. */
  readonly without?: readonly string[];
  /** Runs every job a second time: after the first run, or concurrently. */
  readonly twice?: 'in a row' | 'at once' | undefined;
}

/** Arguments for Node.js that start a worker or a proxy with a plan. */
export function entryOf(app: 'worker' | 'proxy', plan: ProcessPlan): string[] {
  return [join(import.meta.dirname, `../processes/${app}.ts`), JSON.stringify(plan)];
}

/** The plan in the arguments of this process. */
export function readPlan(argv: readonly string[] = process.argv): ProcessPlan {
  return JSON.parse(argv[2] ?? '{}') as ProcessPlan;
}

const MARK = 'fault injected ';

/** The line that a process logs immediately before it sends the signal to itself. */
export function markOf({ call, moment }: Fault): string {
  return `${MARK}${moment} ${call}`;
}

/** Number of injected faults in the log of a process. */
export function countMarks(log: string): number {
  return log.split(MARK).length - 1;
}
