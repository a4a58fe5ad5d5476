import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { FailureError } from '@ephemera/domain';
import { type BoundRoute, route } from '@ephemera/http';
import { admit, type Admission } from '../access/admit.ts';
import { isFromOwnPage } from '../access/from-own-page.ts';
import { publicRoutes } from '../public-routes.ts';
import { endOf } from '../under-way.ts';
import { followStart } from './start-events.ts';
import type { Waiting } from './waiting-room.ts';

/** Where the waiting page follows the start of its instance. */
export function waitingRoutes(waiting: Waiting): BoundRoute[] {
  const { startEvents } = publicRoutes(waiting.prefix);
  const follow = route(startEvents, async (ctx, { params: { id } }) => {
    const end = endOf(ctx.res, waiting.stopping);
    const admission = admit(ctx.req, (await waiting.routes.find(id))?.route);
    if (!mayFollow(admission, ctx.req)) throw new FailureError({ kind: 'barred' });
    const lines = await followStart(waiting, id, end);
    ctx.type = 'text/event-stream';
    ctx.set('x-accel-buffering', 'no');
    ctx.body = Readable.from(lines, { objectMode: false });
  });
  return [follow];
}

/** With what is asked of the page's own origin no browser sends an `Origin`. */
function mayFollow(admission: Admission, { headers }: IncomingMessage): boolean {
  if (admission.kind === 'shown') {
    return admission.by === 'header' || isFromOwnPage('GET', headers, undefined);
  }
  return admission.kind === 'open';
}
