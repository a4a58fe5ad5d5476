import { Readable } from 'node:stream';
import Router from '@koa/router';
import { followStart } from './start-events.ts';
import { eventsPath, type Waiting } from './waiting-room.ts';

/** Where the waiting page follows the start of its instance. */
export function waitingRouter(waiting: Waiting): Router {
  const router = new Router();
  router.get(eventsPath(waiting.prefix, ':id'), async (ctx) => {
    const gone = new AbortController();
    ctx.res.once('close', () => gone.abort());
    const lines = await followStart(waiting, ctx.params['id'] ?? '', gone.signal);
    ctx.type = 'text/event-stream';
    ctx.set('cache-control', 'no-store');
    ctx.set('x-accel-buffering', 'no');
    ctx.body = Readable.from(lines, { objectMode: false });
  });
  return router;
}
