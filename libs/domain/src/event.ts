import type { EndReason, State } from './state.ts';

/**
 * The event types: a state that an instance has entered, a change of its lease, a command that a
 * client runs in it, or a change of its files.
 */
export const EVENT_TYPES = [
  'pending',
  'starting',
  'warm',
  'ready',
  'paused',
  'resumed',
  'renewed',
  'expiring',
  'exec',
  'files',
  'draining',
  'gone',
  'failed',
] as const;

export type EventType = (typeof EVENT_TYPES)[number];

/** One change of an instance, with its data at that time. Times are epoch ms. */
export interface InstanceEvent {
  /** Position in the stream of all events, `<ms>-<n>`. Later events have greater positions. */
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

/** Whether the event at `a` came after the event at `b`. */
export function isLater(a: string, b: string): boolean {
  const [aTime, aIndex] = parts(a);
  const [bTime, bIndex] = parts(b);
  return aTime === bTime ? aIndex > bIndex : aTime > bTime;
}

function parts(seq: string): [number, number] {
  const [time, index] = seq.split('-');
  return [Number(time), Number(index ?? 0)];
}

/** An endpoint that receives events. */
export interface Webhook {
  /** Identifies the webhook in jobs and logs, which never contain its URL or secret. */
  readonly name: string;
  readonly url: string;
  readonly secret: string;
  /** Undefined: all events. */
  readonly events: readonly EventType[] | undefined;
  readonly templates: readonly string[] | undefined;
}

export function isSubscribed({ events, templates }: Webhook, event: InstanceEvent): boolean {
  return (events?.includes(event.type) ?? true) && (templates?.includes(event.template) ?? true);
}
