import type { EndReason, State } from './state.ts';

/** What an event tells: the state that an instance has come into, or what became of its lease. */
export const EVENT_TYPES = [
  'pending',
  'starting',
  'warm',
  'ready',
  'paused',
  'resumed',
  'renewed',
  'expiring',
  'draining',
  'gone',
  'failed',
] as const;

export type EventType = (typeof EVENT_TYPES)[number];

/** One change in the life of an instance, as it was when it happened. Times are epoch ms. */
export interface InstanceEvent {
  /** Its place in the stream of all events, `<ms>-<n>`; each is greater than the one before. */
  readonly seq: string;
  readonly type: EventType;
  readonly time: number;
  /** The instance's id. */
  readonly id: string;
  readonly template: string;
  readonly state: State;
  readonly reason: EndReason | undefined;
  readonly message: string | undefined;
  readonly generation: number;
  readonly expiresAt: number;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Whether the event at `a` came after the one at `b`. */
export function isLater(a: string, b: string): boolean {
  const [aTime, aTurn] = parts(a);
  const [bTime, bTurn] = parts(b);
  return aTime === bTime ? aTurn > bTurn : aTime > bTime;
}

function parts(seq: string): [number, number] {
  const [time, turn] = seq.split('-');
  return [Number(time), Number(turn ?? 0)];
}
