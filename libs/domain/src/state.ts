/** Where an instance stands in its life. */
export type State =
  'pending' | 'starting' | 'warm' | 'ready' | 'paused' | 'draining' | 'gone' | 'failed';

/** Why an instance ended. */
export type EndReason = 'ttl' | 'idle' | 'request' | 'exited' | 'oom' | 'start_failed' | 'orphan';

/**
 * The life of an instance as data. `pending → draining` is a kill before any worker took the
 * spawn job; `warm` is an instance of a pool that serves and has no visitor yet; `draining → failed` keeps a failed start apart from an instance that had its time.
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

export function canTransition(from: State, to: State): boolean {
  return TRANSITIONS[from].includes(to);
}

/** Dead instances leave a tombstone; everything else has, or may still get, a container. */
export function isDead(state: State): boolean {
  return TRANSITIONS[state].length === 0;
}

/** Its container runs and serves: one that ends by itself then has not failed to start. */
export function isServing(state: State): boolean {
  return state === 'ready' || state === 'warm' || state === 'paused';
}

/** The state in which an end for this reason leaves the instance. */
export function endState(reason: EndReason): 'gone' | 'failed' {
  return reason === 'start_failed' ? 'failed' : 'gone';
}
