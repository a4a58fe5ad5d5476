import { ApiError } from '@ephemera/domain';
import { isRedisUnavailable } from '@ephemera/store';
import { isStarting, viewStart } from './start-view.ts';
import type { Waiting } from './waiting-page.ts';

/** A step is repeated after this time, so that silence means a broken connection, ms. */
const RESEND_INTERVAL_MS = 5_000;
/** How often the position in the queue is read, ms. It changes without a change of the route. */
const QUEUE_POLL_MS = 1_500;

/**
 * The progress of a start as server-sent events: `step` with a `StartView` at every change, and
 * `over` at its end. The page then reloads and gets the result.
 *
 * @throws ApiError not_found, or store_unavailable
 */
export async function followStart(
  waiting: Waiting,
  id: string,
  signal: AbortSignal,
): Promise<AsyncGenerator<string>> {
  if (!(await waiting.routes.find(id))) {
    throw new ApiError({ kind: 'not_found', what: 'instance' });
  }
  return steps(waiting, id, signal);
}

async function* steps(
  { routes, instances }: Waiting,
  id: string,
  signal: AbortSignal,
): AsyncGenerator<string> {
  try {
    let route = (await routes.find(id))?.route;
    while (isStarting(route) && !signal.aborted) {
      yield event('step', viewStart(route, await instances.get(id)));
      const shown = JSON.stringify(route);
      const timeoutMs = route.state === 'pending' ? QUEUE_POLL_MS : RESEND_INTERVAL_MS;
      const found = await routes.waitFor(
        id,
        (now) => JSON.stringify(now?.route) !== shown,
        timeoutMs,
        signal,
      );
      route = found?.route;
    }
    // If the replica stops, the browser reconnects, and another replica continues the stream.
    if (!signal.aborted) yield event('over', {});
  } catch (error) {
    // The browser reconnects automatically.
    if (!(error instanceof ApiError) && !isRedisUnavailable(error)) throw error;
  }
}

function event(name: string, data: object): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
