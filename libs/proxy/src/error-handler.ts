import { ApiError } from '@ephemera/domain';
import type { Failure } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import { isRedisUnavailable } from '@ephemera/store';
import type { Middleware } from 'koa';
import { sendFailure } from './send-failure.ts';

/** The one place where what is thrown becomes an answer; only what is a failure says what it is. */
export function errorHandler(logger: Logger): Middleware {
  return async (ctx, next) => {
    try {
      await next();
      if (ctx.body === undefined || ctx.body === null) {
        throw new ApiError({ kind: 'not_found', what: 'such page' });
      }
    } catch (error) {
      const failure = failureOf(error);
      if (failure.kind === 'internal')
        logger.error({ err: error, path: ctx.path }, 'request failed');
      ctx.respond = false;
      sendFailure(ctx.req, ctx.res, failure);
    }
  };
}

function failureOf(error: unknown): Failure {
  if (error instanceof ApiError) return error.failure;
  if (isRedisUnavailable(error)) return { kind: 'store_unavailable' };
  return { kind: 'internal' };
}
