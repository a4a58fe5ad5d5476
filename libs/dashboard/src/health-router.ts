import Router from '@koa/router';
import type { Redis } from 'ioredis';

/** `/healthz`: the process answers. `/readyz`: its pages would, too. Neither wants a token. */
export function healthRouter(parts: { redis: Redis; stopping: () => boolean }): Router {
  const router = new Router();
  router.get('/healthz', (ctx) => {
    ctx.body = { status: 'ok' };
  });
  router.get('/readyz', async (ctx) => {
    const redis = await parts.redis.ping().then(
      () => true,
      () => false,
    );
    const running = !parts.stopping();
    const ready = redis && running;
    ctx.status = ready ? 200 : 503;
    ctx.body = { ready, parts: { redis, running } };
  });
  return router;
}
