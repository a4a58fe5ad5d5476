import type { IncomingMessage } from 'node:http';
import { ApiError, type Failure, type NameRoute, type Route } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import { presentedTokens } from '../access/access-token.ts';
import type { RouteResolution } from './resolve-route.ts';

/** Where a name leads. */
type NameResolution =
  | { readonly kind: 'found'; readonly route: NameRoute }
  | { readonly kind: 'absent' }
  | { readonly kind: 'failed'; readonly failure: Failure };

/** Reads where a name leads. Errors become the failure that the client receives. */
export async function resolveName(
  { logger }: { readonly logger: Pick<Logger, 'error'> },
  name: string,
  read: () => Promise<NameRoute | undefined>,
): Promise<NameResolution> {
  try {
    const route = await read();
    return route ? { kind: 'found', route } : { kind: 'absent' };
  } catch (error) {
    if (error instanceof ApiError) return { kind: 'failed', failure: error.failure };
    logger.error({ err: error, name }, 'name lookup failed');
    return { kind: 'failed', failure: { kind: 'store_unavailable' } };
  }
}

/** Whether an instance with this route has ended, or is about to. */
export function isOver(route: Route | undefined): boolean {
  return route?.state === 'draining' || route?.state === 'gone' || route?.state === 'failed';
}

/** Whether a failure is the end of an instance. */
export function isEnd({ kind }: Failure): boolean {
  return kind === 'gone' || kind === 'start_failed';
}

/**
 * Whether the name may lead to another instance than the one that caused a failure. The end of an
 * instance may be read before the push that its name has moved arrives.
 *
 * @param wasDead whether the end was known before: the name was read again then
 */
export function mayHaveMoved(
  failure: Failure,
  wasDead: boolean,
  { headers, url = '' }: Pick<IncomingMessage, 'headers' | 'url'>,
): boolean {
  switch (failure.kind) {
    case 'gone':
    case 'not_found':
    case 'start_failed':
      return !wasDead;
    case 'access_denied':
      // Each instance has an access token of its own.
      return presentedTokens(headers, url) !== undefined;
    default:
      return false;
  }
}

/** The name outlives the tombstone of its instance: it still says that the instance has ended. */
export function endOfName(resolution: RouteResolution, named: NameRoute): RouteResolution {
  if (resolution.kind !== 'failed' || resolution.failure.kind !== 'not_found') return resolution;
  if (named.ended === undefined) return resolution;
  return { kind: 'failed', failure: { kind: 'gone', id: named.id, reason: named.ended } };
}
