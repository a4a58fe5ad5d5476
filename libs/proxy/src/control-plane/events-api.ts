import { Readable } from 'node:stream';
import { adminRoutes, matchesEventQuery, toEventResource } from '@ephemera/contract';
import type { EventsQuery } from '@ephemera/contract';
import { ApiError } from '@ephemera/domain';
import { type BoundRoute, route } from '@ephemera/http';
import type { TokenSet } from '@ephemera/http';
import type { EventFeed } from '@ephemera/store';
import { EVENT_HEARTBEAT_INTERVAL_MS, EVENT_RETRY_MS } from '../limits.ts';
import { abortWhenRevoked } from './authorize.ts';

export interface EventsApi {
  readonly events: Pick<EventFeed, 'now' | 'next'>;
  readonly tokens: Pick<TokenSet, 'named'>;
  /** Aborts when the replica stops, and ends the streams. */
  readonly stopping: AbortSignal;
  /** Interval of heartbeats on a stream without events, ms. */
  readonly heartbeat?: number;
}

/**
 * `/v1/events`: server-sent events (WHATWG HTML section 9.2), from now on or after `Last-Event-ID`,
 * while the token is valid. Events are read only as fast as the client accepts them.
 */
export function eventRoutes(api: EventsApi): BoundRoute[] {
  const { events, tokens, stopping, heartbeat = EVENT_HEARTBEAT_INTERVAL_MS } = api;
  const follow = route(adminRoutes.followEvents, async (ctx, { query, headers }) => {
    const input = headers['last-event-id'] ?? '';
    const after = input === '' ? await events.now() : placeOf(input);
    const signal = abortWhenRevoked(ctx, tokens, stopping);
    ctx.type = 'text/event-stream';
    ctx.set('x-accel-buffering', 'no');
    const lines = linesOf(events, after, query, heartbeat, signal);
    ctx.body = Readable.from(lines, { objectMode: false, highWaterMark: 16_384 });
  });
  return [follow];
}

/**
 * Generates the text of a stream. A heartbeat is an id without data. A client sees no event, but
 * its position moves past events that its filters skip.
 */
async function* linesOf(
  events: EventsApi['events'],
  after: string,
  query: EventsQuery,
  heartbeat: number,
  signal: AbortSignal,
): AsyncGenerator<string> {
  let place = after;
  yield `retry: ${EVENT_RETRY_MS}\nid: ${place}\n:\n\n`;
  const isOver = () => signal.aborted;
  while (!isOver()) {
    const span = await events.next(place, heartbeat, signal).catch(unlessStoreUnavailable);
    if (!span && !isOver()) {
      yield ': Redis is unavailable. Reconnect with Last-Event-ID to continue.\n\n';
    }
    // The client reconnects and continues after its last event.
    if (!span || isOver()) return;
    if (span.gap) yield gapEventAfter(place);
    const last = span.events.at(-1);
    const wanted = span.events.filter((event) => matchesEventQuery(query, event));
    for (const event of wanted) {
      if (isOver()) return;
      const data = JSON.stringify(toEventResource(event));
      yield `id: ${event.seq}\nevent: ${event.type}\ndata: ${data}\n\n`;
    }
    if (last) place = last.seq;
    else if (span.gap) place = await events.now().catch(() => place);
    if (wanted.length === 0) yield `id: ${place}\n:\n\n`;
  }
}

/** @throws any other error than an unavailable Redis, which its connection logs */
function unlessStoreUnavailable(error: unknown): undefined {
  if (error instanceof ApiError && error.failure.kind === 'store_unavailable') return undefined;
  throw error;
}

/** Events after this position are no longer stored. The client must read the list again. */
function gapEventAfter(place: string): string {
  const detail = 'Events after this one are no longer stored. Read the list of instances again.';
  return `event: gap\ndata: ${JSON.stringify({ after: place, detail })}\n\n`;
}

/** Normalizes an event id. The part after the hyphen is optional. */
function placeOf(input: string): string {
  return input.includes('-') ? input : `${input}-0`;
}
