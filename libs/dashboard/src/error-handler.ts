import { problemOf } from '@ephemera/contract';
import type { Problem } from '@ephemera/contract';
import type { Failure } from '@ephemera/domain';
import { errorHandler as createErrorHandler, prefersHtml } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import { isRedisUnavailable } from '@ephemera/store';
import type { Context, Middleware } from 'koa';
import { loginFor } from './dashboard-routes.ts';
import { messagePage } from './pages/layout.ts';

/** The error handler of the dashboard: a page for a browser, problem+json for a program. */
export function errorHandler(logger: Logger): Middleware {
  return createErrorHandler({ logger, isRedisUnavailable, respond });
}

function respond(ctx: Context, failure: Failure): void {
  const isPage = prefersHtml(ctx.req.headers.accept);
  if (failure.kind === 'unauthorized' && isPage) {
    ctx.status = 303;
    ctx.redirect(loginFor(ctx));
    return;
  }
  const { problem: general, headers } = problemOf(failure);
  const problem: Problem =
    failure.kind === 'store_unavailable'
      ? { ...general, detail: 'Redis does not answer. The dashboard recovers when Redis is back.' }
      : general;
  ctx.status = problem.status;
  ctx.set(headers);
  ctx.vary('accept');
  if (isPage) {
    ctx.type = 'html';
    ctx.body = messagePage(problem);
  } else {
    ctx.type = 'application/problem+json';
    ctx.body = JSON.stringify(problem);
  }
}
