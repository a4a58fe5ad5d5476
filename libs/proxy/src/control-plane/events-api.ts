import { Readable } from 'node:stream';
import { adminRoutes, matchesEventQuery, toEventResource } from '@ephemera/contract';
import type { EventsQuery } from '@ephemera/contract';
import { type BoundRoute, route } from '@ephemera/http';
import type { TokenSet } from '@ephemera/http';
import type { EventFeed } from '@ephemera/store';
import { abortWhenRevoked } from './authorize.ts';

export interface EventsApi {
  readonly events: Pick<EventFeed, 'now' | 'next'>;
  readonly tokens: Pick<TokenSet, 'named'>;
  /** Aborts when the replica stops, and ends the streams. */
  readonly stopping: AbortSignal;
  /** How long a stream without events may be silent, ms. */
  readonly heartbeat?: number;
}

const HEARTBEAT = 15_000;
/** How soon a client comes back that has lost its stream, ms. */
const RETRY = 1_000;

/**
 * `/v1/events`: server-sent events (WHATWG HTML section 9.2), from now on or from after
 * `Last-Event-ID`, for as long as its token counts. What a client does not take is not read for it.
 */
export function eventRoutes(api: EventsApi): BoundRoute[] {
  const { events, tokens, stopping, heartbeat = HEARTBEAT } = api;
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
 * The text of a stream. A heartbeat is an id without data: it is no event to a client, and yet
 * moves its place past what its filters left out.
 */
async function* linesOf(
  events: EventsApi['events'],
  after: string,
  query: EventsQuery,
  heartbeat: number,
  signal: AbortSignal,
): AsyncGenerator<string> {
  let place = after;
  yield `retry: ${RETRY}\nid: ${place}\n:\n\n`;
  const isOver = () => signal.aborted;
  while (!isOver()) {
    const span = await events.next(place, heartbeat, signal).catch(() => undefined);
    // Redis is away: the client comes back, and goes on where it was.
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

/** What came after this place is not kept any more: whoever follows should read the list anew. */
function gapEventAfter(place: string): string {
  const detail = 'Events after this one are not kept any more: read the list of instances anew.';
  return `event: gap\ndata: ${JSON.stringify({ after: place, detail })}\n\n`;
}

/** An id as a stream gives it; the part behind the hyphen may be left out. */
function placeOf(input: string): string {
  return input.includes('-') ? input : `${input}-0`;
}
