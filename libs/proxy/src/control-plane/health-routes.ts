import Router from '@koa/router';
import type { Readiness } from '@ephemera/process';

/** What a replica needs to be given traffic, by name: whether it has it now. */
export type ReadinessChecks = Readonly<Record<string, () => boolean | Promise<boolean>>>;

/** How long a part may take to answer until it counts as missing, ms; balancers wait for little more. */
const TIMEOUT_MS = 1_000;

/**
 * `/healthz`; `/readyz`, which every part must be there for; and `/readyz/{part}`, which asks that part
 * alone, for a balancer that has no replica left which is ready: `running` still serves what it knows,
 * and must say so while others hang.
 */
export function healthRoutes(parts: ReadinessChecks): Router {
  const router = new Router();
  router.get('/healthz', (ctx) => {
    ctx.body = { status: 'ok' };
  });
  router.get('/readyz', async (ctx) => {
    const asked = Object.entries(parts).map(async ([name, has]) => [name, await withTimeout(has)]);
    const reported = Object.fromEntries(await Promise.all(asked)) as Readiness['parts'];
    const ready = Object.values(reported).every(Boolean);
    ctx.status = ready ? 200 : 503;
    ctx.body = { ready, parts: reported } satisfies Readiness;
  });
  router.get('/readyz/:part', async (ctx) => {
    const name = ctx.params['part'] ?? '';
    const has = Object.hasOwn(parts, name) ? parts[name] : undefined;
    if (!has) return;
    const ready = await withTimeout(has);
    ctx.status = ready ? 200 : 503;
    ctx.body = { ready };
  });
  return router;
}

async function withTimeout(has: () => boolean | Promise<boolean>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, TIMEOUT_MS, false as const);
  });
  try {
    return await Promise.race([has(), timeout]);
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}
