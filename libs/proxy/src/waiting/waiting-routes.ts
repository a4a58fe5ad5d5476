import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { ApiError } from '@ephemera/domain';
import { type BoundRoute, route } from '@ephemera/http';
import { checkAccess, type AccessDecision } from '../access/check-access.ts';
import { isFromOwnPage } from '../access/from-own-page.ts';
import { publicRoutes } from '../public-routes.ts';
import { abortOnClose } from '../in-flight-requests.ts';
import { followStart } from './start-events.ts';
import type { Waiting } from './waiting-page.ts';

/** The route by which the waiting page follows the start of its instance. */
export function waitingRoutes(waiting: Waiting): BoundRoute[] {
  const { startEvents } = publicRoutes(waiting.prefix);
  const follow = route(startEvents, async (ctx, { params: { id } }) => {
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
function mayFollow(decision: AccessDecision, { headers }: IncomingMessage): boolean {
  if (decision.kind === 'token_presented') {
    return decision.by === 'header' || isFromOwnPage('GET', headers, undefined);
  }
  return decision.kind === 'open';
}
