import Router from '@koa/router';
import type { Readiness } from '@ephemera/process';

/** Checks by name. Each resolves to whether its part is usable now; a rejection counts as false. */
export type ReadinessChecks = Readonly<Record<string, () => boolean | Promise<boolean>>>;

/** How long one check may take, ms. Load balancers wait only a little longer. */
const CHECK_TIMEOUT_MS = 1_000;

/**
 * `/healthz` answers 200 while the process runs. `/readyz` answers 200 if every check passes, else
 * 503. `/readyz/{name}` runs one check alone: a load balancer without a ready replica then asks for
 * `/readyz/running`, which must not wait for the checks that hang. None requires a token.
 */
export function healthRoutes(checks: ReadinessChecks): Router {
  const router = new Router();
  router.get('/healthz', (ctx) => {
    ctx.body = { status: 'ok' };
  });
  router.get('/readyz', async (ctx) => {
    const results = Object.entries(checks).map(
      async ([name, check]) => [name, await passes(check)] as const,
    );
    const parts: Readiness['parts'] = Object.fromEntries(await Promise.all(results));
    const ready = Object.values(parts).every(Boolean);
    ctx.status = ready ? 200 : 503;
    ctx.body = { ready, parts } satisfies Readiness;
  });
  router.get('/readyz/:name', async (ctx) => {
    const name = ctx.params['name'] ?? '';
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined;
    if (!check) return;
    const ready = await passes(check);
    ctx.status = ready ? 200 : 503;
    ctx.body = { ready };
  });
  return router;
}

async function passes(check: () => boolean | Promise<boolean>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, CHECK_TIMEOUT_MS, false as const);
  });
  try {
    return await Promise.race([check(), timeout]);
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}
