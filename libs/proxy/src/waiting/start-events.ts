import { ApiError } from '@ephemera/domain';
import { isRedisUnavailable } from '@ephemera/store';
import { isStarting, viewStart } from './start-view.ts';
import type { Waiting } from './waiting-page.ts';

/** A step is told again after so long, so that silence means a broken connection, ms. */
const RESEND_INTERVAL_MS = 5_000;
/** Whoever waits in the queue is told of their place so often, ms: it moves without their route. */
const QUEUE_POLL_MS = 1_500;

/**
 * The steps of a start as server-sent events: `step` with a `StartView` at every change, and
 * `over` at its end, whatever that is: the page that is asked for then tells.
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
      const patience = route.state === 'pending' ? QUEUE_POLL_MS : RESEND_INTERVAL_MS;
      const found = await routes.waitFor(
        id,
        (now) => JSON.stringify(now?.route) !== shown,
        patience,
        signal,
      );
      route = found?.route;
    }
    // Cut short, the page keeps to its stream, which another replica goes on with.
    if (!signal.aborted) yield event('over', {});
  } catch (error) {
    // The browser comes again by itself.
    if (!(error instanceof ApiError) && !isRedisUnavailable(error)) throw error;
  }
}

function event(name: string, data: object): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
