import { adminRoutes } from '@ephemera/contract';
import { ApiError } from '@ephemera/domain';
import { type BoundRoute, route } from '@ephemera/http';
import { configStatus } from '@ephemera/process';
import type { ConfigStatus, Readiness } from '@ephemera/process';
import { READINESS_TIMEOUT_MS } from '../limits.ts';

/** The conditions for readiness, by name. Each returns whether it holds now. */
export type ReadinessChecks = Readonly<Record<string, () => boolean | Promise<boolean>>>;

/** The configuration file; `issues` are the errors that keep its present version from use. */
export type ConfigFile = Pick<ConfigStatus, 'issues'>;

/**
 * `/healthz`; `/readyz`, which requires every check; and `/readyz/{part}`, which runs one check. If
 * no replica is ready, a load balancer can use `running`: a running replica still serves known
 * routes. So a hanging check must not delay the others.
 */
export function healthRoutes(parts: ReadinessChecks, file: ConfigFile): BoundRoute[] {
  const health = route(adminRoutes.checkHealth, (ctx) => {
    ctx.body = { status: 'ok' };
  });
  const readiness = route(adminRoutes.checkReadiness, async (ctx) => {
    const asked = Object.entries(parts).map(async ([name, has]) => [name, await withTimeout(has)]);
    const reported = Object.fromEntries(await Promise.all(asked)) as Readiness['parts'];
    const ready = Object.values(reported).every(Boolean);
    ctx.status = ready ? 200 : 503;
    ctx.body = { ready, parts: reported, config: configStatus(file) } satisfies Readiness;
  });
  const partReadiness = route(adminRoutes.checkPartReadiness, async (ctx, { params }) => {
    const has = Object.hasOwn(parts, params.part) ? parts[params.part] : undefined;
    if (!has) throw new ApiError({ kind: 'not_found', what: 'part of this name' });
    const ready = await withTimeout(has);
    ctx.status = ready ? 200 : 503;
    ctx.body = { ready };
  });
  return [health, readiness, partReadiness];
}

async function withTimeout(has: () => boolean | Promise<boolean>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, READINESS_TIMEOUT_MS, false as const);
  });
  try {
    return await Promise.race([has(), timeout]);
  } catch {
    // The part reads Redis, whose connection logs its own errors.
    return false;
  } finally {
    clearTimeout(timer);
  }
}
