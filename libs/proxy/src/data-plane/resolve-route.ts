import { type Failure, ApiError, type ReadyRoute, type Route } from '@ephemera/domain';
import type { CachedRoute, RouteCache } from '@ephemera/store';

/** A route to use now, and until when on the monotonic clock. */
export interface OpenRoute {
  readonly route: ReadyRoute;
  readonly deadline: number;
}

export type RouteResolution = ({ readonly kind: 'open' } & OpenRoute) | Failure;

/** How long to wait for an instance that starts. */
export interface ResolveOptions {
  readonly routes: Pick<RouteCache, 'find' | 'confirm' | 'waitFor'>;
  /** Whether what is in memory has just turned out to be superseded. */
  readonly isSuperseded: boolean;
  readonly startWait: number;
  /** Raised when whoever asks has gone. */
  readonly signal: AbortSignal;
  /** Asked of a route before anything else: why it is not to be used, or true where answered. */
  readonly guard: (route: Route | undefined) => Failure | boolean;
  /** Called before the wait: true where there is to be none. */
  readonly respondInstead: () => boolean;
}

/**
 * Finds out where a request for an id is to go, or why nowhere: waits for an instance that is
 * starting, or is resumed by the wait. Never rejects; undefined where
 * `guard` or `instead` took the request over.
 */
export async function resolveRoute(
  id: string,
  options: ResolveOptions,
): Promise<RouteResolution | undefined> {
  const { routes, isSuperseded, startWait, signal, guard, respondInstead } = options;
  return await toFailure(async () => {
    let found = isSuperseded ? await routes.confirm(id) : await routes.find(id);
    const denied = guard(found?.route);
    if (denied === true) return undefined;
    if (denied !== false) return denied;
    const isComing = (route: CachedRoute | undefined) => isStarting(route) || isResumable(route);
    if (isComing(found)) {
      if (isStarting(found) && respondInstead()) return undefined;
      found = await routes.waitFor(id, (route) => !isComing(route), startWait, signal);
    }
    return toResolution(id, found);
  });
}

/** What the route of an id says at the moment. Never rejects. */
export async function lookUpRoute(
  routes: Pick<RouteCache, 'find'>,
  id: string,
): Promise<RouteResolution> {
  return await toFailure(async () => toResolution(id, await routes.find(id)));
}

async function toFailure<T>(look: () => Promise<T>): Promise<T | Failure> {
  try {
    return await look();
  } catch (error) {
    return error instanceof ApiError ? error.failure : { kind: 'store_unavailable' };
  }
}

/** What a route says of an id: where it is, or why it is not to be had. */
function toResolution(id: string, found: CachedRoute | undefined): RouteResolution {
  if (!found) return { kind: 'not_found', what: 'instance' };
  const { route, deadline } = found;
  switch (route.state) {
    case 'pending':
    case 'starting':
      return { kind: 'starting', id };
    case 'ready':
      return performance.now() < deadline
        ? { kind: 'open', route, deadline }
        : { kind: 'gone', id, reason: 'ttl' };
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

/** Whether it is paused until somebody wants it; whoever waits for its route does. */
function isResumable(found: CachedRoute | undefined): boolean {
  return found?.route.state === 'paused' && found.route.resume === 'request';
}
