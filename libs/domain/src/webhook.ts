import type { EventType, InstanceEvent } from './event.ts';

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
