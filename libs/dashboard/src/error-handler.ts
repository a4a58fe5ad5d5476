import { problemOf } from '@ephemera/contract';
import type { Problem } from '@ephemera/contract';
import { ApiError } from '@ephemera/domain';
import type { Failure } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import type { Redis } from 'ioredis';
import type { Context, Middleware } from 'koa';
import { loginFor } from './access/login-target.ts';
import { messagePage } from './pages/message-page.ts';

/** The one funnel: what goes wrong becomes a page for a browser, a problem for a program. */
export function errorHandler({ redis, logger }: { redis: Redis; logger: Logger }): Middleware {
  return async (ctx, next) => {
    try {
      await next();
      if (ctx.status === 404 && (ctx.body ?? null) === null) {
        throw new ApiError({ kind: 'not_found', what: 'such page' });
      }
    } catch (error) {
      const failure = failureOf(error, redis);
      if (failure.kind === 'internal') logger.error({ err: error, path: ctx.path }, 'bug');
      if (failure.kind === 'unauthorized' && prefersHtml(ctx)) {
        ctx.status = 303;
        ctx.redirect(loginFor(ctx));
        return;
      }
      answer(ctx, failure);
    }
  };
}

/** Whether a person looks at the answer: a browser names text/html, a program does not. */
function prefersHtml(ctx: Context): boolean {
  return ctx.accepts('json', 'html') === 'html';
}

function failureOf(error: unknown, redis: Redis): Failure {
  if (error instanceof ApiError) return error.failure;
  if (isRedisUnavailable(error, redis)) return { kind: 'store_unavailable' };
  // Koa and its body parser mark what a client may be told.
  const { status, expose, message } = error as { status?: unknown; expose?: unknown } & Error;
  if (typeof status === 'number' && expose === true) {
    return { kind: 'invalid', status, faults: [{ path: '', detail: message }] };
  }
  return { kind: 'internal' };
}

/** A connection that is down, or a Redis that took too long: `commandTimeout` has no class. */
function isRedisUnavailable(error: unknown, redis: Redis): boolean {
  return redis.status !== 'ready' || (error as Error).message === 'Command timed out';
}

function answer(ctx: Context, failure: Failure): void {
  const { problem: general, headers } = problemOf(failure);
  const problem: Problem =
    failure.kind === 'store_unavailable'
      ? { ...general, detail: 'Redis does not answer. The dashboard is back as soon as it does.' }
      : general;
  ctx.status = problem.status;
  ctx.set(headers);
  if (prefersHtml(ctx)) {
    ctx.type = 'html';
    ctx.body = messagePage(problem);
  } else {
    ctx.type = 'application/problem+json';
    ctx.body = JSON.stringify(problem);
  }
}
