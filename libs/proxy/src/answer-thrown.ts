import { FailureError } from '@ephemera/domain';
import type { Failure } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import { isRedisAway } from '@ephemera/store';
import type { Middleware } from 'koa';
import { answerFailure } from './answer-failure.ts';

/** The one place where what is thrown becomes an answer; only what is a failure says what it is. */
export function answerThrown(logger: Logger): Middleware {
  return async (ctx, next) => {
    try {
      await next();
      if (ctx.body === undefined || ctx.body === null) {
        throw new FailureError({ kind: 'not_found', what: 'such page' });
      }
    } catch (error) {
      const failure = failureOf(error);
      if (failure.kind === 'internal')
        logger.error({ err: error, path: ctx.path }, 'request failed');
      ctx.respond = false;
      answerFailure(ctx.req, ctx.res, failure);
    }
  };
}

function failureOf(error: unknown): Failure {
  if (error instanceof FailureError) return error.failure;
  if (isRedisAway(error)) return { kind: 'store_unavailable' };
  return { kind: 'internal' };
}
