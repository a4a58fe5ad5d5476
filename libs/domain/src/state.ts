/** The state of an instance; `TRANSITIONS` has the changes between them. */
export type State =
  'pending' | 'starting' | 'warm' | 'ready' | 'paused' | 'draining' | 'gone' | 'failed';

/** Why an instance ended. */
export type EndReason =
  /** The deadline has passed. */
  | 'ttl'
  /** The instance was not used for the idle timeout of its template. */
  | 'idle'
  /** It was stopped on request. */
  | 'request'
  /** Its container exited, or another program removed it. */
  | 'exited'
  /** Its container exceeded its memory limit. */
  | 'oom'
  /** The start failed. */
  | 'start_failed'
  /** A warm instance that Redis may have lost a claim of, so no client may get it. */
  | 'orphan'
  /** Its host was drained. */
  | 'host_drained'
  /** Its name leads to a newer instance. */
  | 'replaced';

const PLANNED_ENDS: ReadonlySet<string> = new Set<EndReason>([
  'ttl',
  'idle',
  'request',
  'host_drained',
  'replaced',
]);

/** Whether a client, an operator or a deadline ended the instance. Any other end is a failure. */
export function isPlannedEnd(reason: EndReason): boolean {
  return PLANNED_ENDS.has(reason);
}

/**
 * The state machine of an instance. `pending → draining` is a kill before a worker took the spawn job.
 * `warm` is a pool instance that serves and is not claimed. `draining → failed` is a failed start;
 * every other end is `draining → gone`. The scripts of `libs/store` make the transitions.
 */
export const TRANSITIONS: Readonly<Record<State, readonly State[]>> = {
  pending: ['starting', 'draining'],
  starting: ['warm', 'ready', 'draining'],
  warm: ['ready', 'draining'],
  ready: ['paused', 'draining'],
  paused: ['ready', 'draining'],
  draining: ['gone', 'failed'],
  gone: [],
  failed: [],
};

export const STATES = Object.keys(TRANSITIONS) as readonly State[];

/** Whether only the tombstone is left. An instance in any other state may have a container. */
export function isDead(state: State): boolean {
  return TRANSITIONS[state].length === 0;
}

/** Whether its container has become ready. A container that exits then is not a failed start. */
export function isServing(state: State): boolean {
  return state === 'ready' || state === 'warm' || state === 'paused';
}

/** The steps of a start, in order. `pulling` occurs only if the host does not have the image. */
export type Step = 'creating' | 'pulling' | 'starting' | 'probing';

/** An exit within this time after the instance became ready is a failed start. Milliseconds. */
export const EARLY_EXIT_MS = 5_000;

/** Progress of a start, as shown to clients. */
export interface StartStep {
  readonly step: Step;
  /** Completed part of the step, 0 to 1. Undefined if unknown. */
  readonly done?: number | undefined;
  /** For people. */
  readonly message: string;
}
