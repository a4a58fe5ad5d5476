import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import Router from '@koa/router';
import { ApiError } from '@ephemera/domain';
import { checkAccess, type AccessDecision } from '../access/check-access.ts';
import { isFromOwnPage } from '../access/from-own-page.ts';
import { abortOnClose } from '../in-flight-requests.ts';
import { followStart } from './start-events.ts';
import { eventsPath, type Waiting } from './waiting-page.ts';

/** Where the waiting page follows the start of its instance. */
export function waitingRouter(waiting: Waiting): Router {
  const router = new Router();
  router.get(eventsPath(waiting.prefix, ':id'), async (ctx) => {
    const end = abortOnClose(ctx.res, waiting.stopping);
    const id = ctx.params['id'] ?? '';
    const decision = checkAccess(ctx.req, (await waiting.routes.find(id))?.route);
    if (!mayFollow(decision, ctx.req)) throw new ApiError({ kind: 'access_denied' });
    const lines = await followStart(waiting, id, end);
    ctx.type = 'text/event-stream';
    ctx.set('x-accel-buffering', 'no');
    ctx.body = Readable.from(lines, { objectMode: false });
  });
  return router;
}

/** With what is asked of the page's own origin no browser sends an `Origin`. */
function mayFollow(decision: AccessDecision, { headers }: IncomingMessage): boolean {
  if (decision.kind === 'token_presented') {
    return decision.by === 'header' || isFromOwnPage('GET', headers, undefined);
  }
  return decision.kind === 'open';
}
