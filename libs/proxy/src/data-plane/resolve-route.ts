import { type Failure, ApiError, type ReadyRoute, type Route } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import type { CachedRoute, RouteCache } from '@ephemera/store';
import type { AccessDecision } from './authorize-access.ts';

/** What the resolution of a route needs from the data plane. */
interface RouteLookup {
  readonly routes: Pick<RouteCache, 'find' | 'waitFor' | 'confirm'>;
  /** How long a request waits for an instance that is starting, ms. */
  readonly startWait: number;
  readonly logger: Pick<Logger, 'error'>;
}

/** Where a request for an id has to go. */
export type RouteResolution =
  | { readonly kind: 'open'; readonly route: ReadyRoute; readonly deadline: number }
  | { readonly kind: 'failed'; readonly failure: Failure }
  /** The client has its response already: a redirect after a link, or the waiting page. */
  | { readonly kind: 'answered' };

interface ResolveOptions {
  readonly context: RouteLookup;
  /** Whether the route in memory has just turned out to be superseded. */
  readonly isSuperseded: boolean;
  /** Aborts when the client disconnects. */
  readonly signal: AbortSignal;
  /** Called with the route before anything is disclosed about it. */
  readonly authorize: (route: Route | undefined) => AccessDecision;
  /** Called before a wait for a start; true if the client has the waiting page instead. */
  readonly sendWaitingPage: () => boolean;
}

/** Resolves the route of an id. Waits for an instance that is starting, or that the wait resumes. */
export async function resolveRoute(id: string, options: ResolveOptions): Promise<RouteResolution> {
  const { context, isSuperseded, signal, authorize, sendWaitingPage } = options;
  const { routes, startWait } = context;
  return await toFailure(id, context, async () => {
    let found = isSuperseded ? await routes.confirm(id) : await routes.find(id);
    const decision = authorize(found?.route);
    if (decision.kind === 'denied') return { kind: 'failed', failure: decision.failure };
    if (decision.kind === 'answered') return decision;
    const isComing = (route: CachedRoute | undefined) => isStarting(route) || isResumable(route);
    if (isComing(found)) {
      if (isStarting(found) && sendWaitingPage()) return { kind: 'answered' };
      found = await routes.waitFor(id, (route) => !isComing(route), startWait, signal);
    }
    return toResolution(id, found);
  });
}

/** The current resolution of the route of an id, without a wait. */
export async function lookUpRoute(
  id: string,
  context: Pick<RouteLookup, 'routes' | 'logger'>,
): Promise<RouteResolution> {
  return await toFailure(id, context, async () => toResolution(id, await context.routes.find(id)));
}

async function toFailure(
  id: string,
  { logger }: Pick<RouteLookup, 'logger'>,
  look: () => Promise<RouteResolution>,
): Promise<RouteResolution> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof ApiError) return { kind: 'failed', failure: error.failure };
    logger.error({ err: error, id }, 'route lookup failed');
    return { kind: 'failed', failure: { kind: 'store_unavailable' } };
  }
}

function toResolution(id: string, found: CachedRoute | undefined): RouteResolution {
  if (!found) return { kind: 'failed', failure: { kind: 'not_found', what: 'instance' } };
  const { route, deadline } = found;
  if (route.state === 'ready' && performance.now() < deadline) {
    return { kind: 'open', route, deadline };
  }
  return { kind: 'failed', failure: failureOf(id, route) };
}

function failureOf(id: string, route: Route): Failure {
  switch (route.state) {
    case 'pending':
    case 'starting':
      return { kind: 'starting', id };
    case 'ready':
      return { kind: 'gone', id, reason: 'ttl' };
    case 'paused':
      return { kind: 'paused', id };
    case 'draining':
    case 'failed':
    case 'gone':
      return route.reason === 'start_failed'
        ? { kind: 'start_failed', id, message: route.message ?? 'It could not be started.' }
        : { kind: 'gone', id, reason: route.reason, message: route.message };
  }
}

function isStarting(found: CachedRoute | undefined): boolean {
  return found?.route.state === 'pending' || found?.route.state === 'starting';
}

/** Whether the instance is paused until the next request; the wait for its route resumes it. */
function isResumable(found: CachedRoute | undefined): boolean {
  return found?.route.state === 'paused' && found.route.resume === 'request';
}
