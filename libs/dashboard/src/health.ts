import { type BoundRoute, route } from '@ephemera/http';
import { configStatus } from '@ephemera/process';
import type { ConfigStatus } from '@ephemera/process';
import type { Redis } from 'ioredis';
import { dashboardRoutes } from './dashboard-routes.ts';

/**
 * `/healthz`: the process is running. `/readyz`: the pages can be served. Neither needs a token.
 */
export function healthRoutes(parts: {
  redis: Redis;
  configFile: Pick<ConfigStatus, 'issues'>;
  stopping: () => boolean;
}): BoundRoute[] {
  const health = route(dashboardRoutes.health, (ctx) => {
    ctx.body = { status: 'ok' };
  });
  const readiness = route(dashboardRoutes.readiness, async (ctx) => {
    const redis = await parts.redis.ping().then(
      () => true,
      () => false,
    );
    const running = !parts.stopping();
    const ready = redis && running;
    ctx.status = ready ? 200 : 503;
    ctx.body = { ready, parts: { redis, running }, config: configStatus(parts.configFile) };
  });
  return [health, readiness];
}
