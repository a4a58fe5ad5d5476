import type { EventType, InstanceEvent } from './event.ts';

/** Somebody who wants to be told of events. */
export interface Webhook {
  /** Names it in jobs and logs, where its URL and its secret never stand. */
  readonly name: string;
  readonly url: string;
  readonly secret: string;
  /** Undefined: of all. */
  readonly events: readonly EventType[] | undefined;
  readonly templates: readonly string[] | undefined;
}

export function isSubscribed({ events, templates }: Webhook, event: InstanceEvent): boolean {
  return (events?.includes(event.type) ?? true) && (templates?.includes(event.template) ?? true);
}
