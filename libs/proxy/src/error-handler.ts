import { ApiError } from '@ephemera/domain';
import type { Failure } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import { isRedisUnavailable } from '@ephemera/store';
import type { Context, Middleware } from 'koa';
import { sendFailure } from './send-failure.ts';

/** The one place where what is thrown becomes an answer; only what is a failure says what it is. */
export function errorHandler(logger: Logger): Middleware {
  return async (ctx, next) => {
    try {
      await next();
      if (ctx.body === undefined || ctx.body === null) throw new ApiError(unanswered(ctx));
    } catch (error) {
      const failure = failureOf(error);
      if (failure.kind === 'internal')
        logger.error({ err: error, path: ctx.path }, 'request failed');
      ctx.respond = false;
      sendFailure(ctx.req, ctx.res, failure);
    }
  };
}

/** What no route has answered: the router has said whether it was the path or the method. */
function unanswered(ctx: Context): Failure {
  const allow = ctx.response.get('allow');
  if (ctx.status === 405) return { kind: 'method_not_allowed', allow };
  return { kind: 'not_found', what: 'such page' };
}

/** What the body parser throws carries a status and a name for it. */
interface ParserError {
  readonly status?: number;
  readonly type?: string;
}

function failureOf(error: unknown): Failure {
  if (error instanceof ApiError) return error.failure;
  if (isRedisUnavailable(error)) return { kind: 'store_unavailable' };
  const { status, type } = error as ParserError;
  if (status === undefined || status < 400 || status >= 500) return { kind: 'internal' };
  const detail =
    status === 413
      ? 'the body is too large'
      : status === 415
        ? 'the body must be application/json'
        : `the body is not valid JSON${type === undefined ? '' : ` (${type})`}`;
  return { kind: 'invalid', status, faults: [{ path: '', detail }] };
}
