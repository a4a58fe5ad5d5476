/** When a process is struck: before a call, while it is under way, or when it has its answer. */
export type Moment = 'before' | 'during' | 'after';

/** Ends or stops a process, by its own hand, at a call of one of its ports. */
export interface FaultInjection {
  /** Such as `instances.begin` or `container.start`; ports.ts has them all. */
  readonly call: string;
  readonly moment: Moment;
  /** At which call of that name since the strike before, counted from 1. */
  readonly nth: number;
  /** How long after the call has begun, ms; for `during` alone. */
  readonly delay: number;
  readonly signal: 'SIGKILL' | 'SIGSTOP';
}

/** What a process of a test is started with: who strikes it, and which guards it does without. */
export interface InjectedFaults {
  /** One after the other. */
  readonly faults?: readonly FaultInjection[];
  readonly without?: readonly string[];
  /** Runs every job a second time: when it is done, or beside itself. */
  readonly twice?: 'in a row' | 'at once' | undefined;
}

const MARK = 'struck at ';

/** Arguments of node that start a process with its fate. */
export function nodeArgs(faults: InjectedFaults): string[] {
  const hook = new URL('./change-source.ts', import.meta.url);
  hook.search = encodeURIComponent(JSON.stringify(faults));
  return ['--import', hook.href];
}

export function readInjectedFaults(url: string): InjectedFaults {
  return JSON.parse(decodeURIComponent(new URL(url).search.slice(1))) as InjectedFaults;
}

/** What a process writes in the instant before it strikes itself. */
export function markOf({ call, moment }: FaultInjection): string {
  return `${MARK}${moment} ${call}`;
}

/** How often a process has been struck, as it has written itself. */
export function countMarks(log: string): number {
  return log.split(MARK).length - 1;
}
