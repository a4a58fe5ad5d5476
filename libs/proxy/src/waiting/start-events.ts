import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { ApiError } from '@ephemera/domain';
import type { Instance, Route } from '@ephemera/domain';
import { route } from '@ephemera/http';
import type { BoundRoute } from '@ephemera/http';
import { isRedisUnavailable } from '@ephemera/store';
import type { InstanceStore, RouteCache } from '@ephemera/store';
import { checkAccess, isFromOwnPage } from '../access/check-access.ts';
import type { AccessCheck } from '../access/check-access.ts';
import { abortOnClose } from '../in-flight-requests.ts';
import { QUEUE_POLL_MS, STEP_RESEND_INTERVAL_MS } from '../limits.ts';
import { publicRoutes } from '../public-routes.ts';
import type { Theme } from './theme.ts';

export interface Waiting {
  readonly routes: Pick<RouteCache, 'peek' | 'find' | 'waitFor'>;
  readonly instances: Pick<InstanceStore, 'get'>;
  readonly prefix: string;
  readonly theme: Theme;
  /** Aborts when the replica stops. It ends the progress streams. */
  readonly stopping: AbortSignal;
}

/**
 * The progress of a start as server-sent events: `step` with a `StartView` at every change, and
 * `over` at its end. The page then reloads and gets the result.
 *
 * @throws ApiError not_found, or store_unavailable
 */
async function followStart(
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
      const timeoutMs = route.state === 'pending' ? QUEUE_POLL_MS : STEP_RESEND_INTERVAL_MS;
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

/** The progress of a start as shown to a waiting visitor. */
export interface StartView {
  readonly step: 'pending' | 'creating' | 'pulling' | 'starting' | 'probing';
  /** A sentence for display. */
  readonly text: string;
  /** Progress from 0 to 100. It is an estimate for each step, not a measurement. */
  readonly percent: number;
}

type StartingRoute = Extract<Route, { state: 'pending' | 'starting' }>;

const PERCENT = { pending: 5, pulling: 20, creating: 60, starting: 65, probing: 85 };
/** The `creating` step is reported only after a pull, so a route without a step is creating. */
const BASE_PERCENT = 15;
/** How far a pull moves the bar, from its start to its end. */
const PULL = 40;

export function isStarting(route: Route | undefined): route is StartingRoute {
  return route?.state === 'pending' || route?.state === 'starting';
}

/** @param instance undefined where it could not be read */
export function viewStart(route: StartingRoute, instance: Instance | undefined): StartView {
  const step = route.state === 'pending' ? 'pending' : (route.step ?? 'creating');
  if (step === 'pending') {
    // The message of an instance in any other state is not the position in the queue.
    const queued = instance?.state === 'pending' ? instance.message : undefined;
    const text = queued ?? 'Waiting for a host to start it.';
    return { step, text: sentence(text), percent: percentOf(route) };
  }
  return { step, text: textOf(step, route.done), percent: percentOf(route) };
}

/** In general terms: the message of the instance may name a registry and an image. */
function textOf(step: Exclude<StartView['step'], 'pending'>, done: number | undefined): string {
  switch (step) {
    case 'pulling':
      return `Pulling the image${done === undefined ? '' : ` (${Math.floor(done * 100)} %)`}.`;
    case 'creating':
      return 'Creating the container.';
    case 'starting':
      return 'Starting the container.';
    case 'probing':
      return 'Waiting for the application to respond.';
  }
}

function percentOf({ state, step, done = 0 }: StartingRoute): number {
  if (state === 'pending') return PERCENT.pending;
  if (step === undefined) return BASE_PERCENT;
  return Math.round(PERCENT[step] + (step === 'pulling' ? PULL * done : 0));
}

/** `queued at position 2 of 5` → `Queued at position 2 of 5.` */
function sentence(text: string): string {
  return text.replace(/^./, (first) => first.toUpperCase()).replace(/[^.]$/, '$&.');
}

/** The route by which the waiting page follows the start of its instance. */
export function waitingRoutes(waiting: Waiting): BoundRoute[] {
  const declared = publicRoutes(waiting.prefix);
  const follow = route(declared.followStart, async (ctx, { params: { id } }) => {
    const end = abortOnClose(ctx.res, waiting.stopping);
    const decision = checkAccess(ctx.req, (await waiting.routes.find(id))?.route);
    if (!mayFollow(decision, ctx.req)) throw new ApiError({ kind: 'access_denied' });
    const lines = await followStart(waiting, id, end);
    ctx.type = 'text/event-stream';
    ctx.set('x-accel-buffering', 'no');
    ctx.body = Readable.from(lines, { objectMode: false });
  });
  return [follow];
}

/** Browsers send no `Origin` with a same-origin GET. */
function mayFollow(decision: AccessCheck, { headers }: IncomingMessage): boolean {
  if (decision.kind === 'token_presented') {
    return decision.by === 'header' || isFromOwnPage('GET', headers, undefined);
  }
  return decision.kind === 'open';
}
