import { Readable } from 'node:stream';
import Router from '@koa/router';
import { FailureError } from '@ephemera/domain';
import { admit } from '../admission/admit.ts';
import { followStart } from './start-events.ts';
import { eventsPath, type Waiting } from './waiting-room.ts';

/** Where the waiting page follows the start of its instance. */
export function waitingRouter(waiting: Waiting): Router {
  const router = new Router();
  router.get(eventsPath(waiting.prefix, ':id'), async (ctx) => {
    const gone = new AbortController();
    ctx.res.once('close', () => gone.abort());
    const id = ctx.params['id'] ?? '';
    const { kind } = admit(ctx.req, (await waiting.routes.find(id))?.route);
    if (kind === 'barred' || kind === 'linked') throw new FailureError({ kind: 'barred' });
    const lines = await followStart(waiting, id, gone.signal);
    ctx.type = 'text/event-stream';
    ctx.set('x-accel-buffering', 'no');
    ctx.body = Readable.from(lines, { objectMode: false });
  });
  return router;
}
