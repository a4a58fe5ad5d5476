import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import Router from '@koa/router';
import { FailureError } from '@ephemera/domain';
import { admit, type Admission } from '../access/admit.ts';
import { isFromOwnPage } from '../access/from-own-page.ts';
import { abortOnClose } from '../in-flight-requests.ts';
import { followStart } from './start-events.ts';
import { eventsPath, type Waiting } from './waiting-room.ts';

/** Where the waiting page follows the start of its instance. */
export function waitingRouter(waiting: Waiting): Router {
  const router = new Router();
  router.get(eventsPath(waiting.prefix, ':id'), async (ctx) => {
    const end = abortOnClose(ctx.res, waiting.stopping);
    const id = ctx.params['id'] ?? '';
    const admission = admit(ctx.req, (await waiting.routes.find(id))?.route);
    if (!mayFollow(admission, ctx.req)) throw new FailureError({ kind: 'barred' });
    const lines = await followStart(waiting, id, end);
    ctx.type = 'text/event-stream';
    ctx.set('x-accel-buffering', 'no');
    ctx.body = Readable.from(lines, { objectMode: false });
  });
  return router;
}

/** With what is asked of the page's own origin no browser sends an `Origin`. */
function mayFollow(admission: Admission, { headers }: IncomingMessage): boolean {
  if (admission.kind === 'shown') {
    return admission.by === 'header' || isFromOwnPage('GET', headers, undefined);
  }
  return admission.kind === 'open';
}
