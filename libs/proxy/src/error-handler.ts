import { errorHandler as createErrorHandler } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import { isRedisUnavailable } from '@ephemera/store';
import type { Middleware } from 'koa';
import { sendFailure } from './failure-page.ts';

/** The error funnel of both ports. */
export function errorHandler(logger: Logger): Middleware {
  return createErrorHandler({
    logger,
    isRedisUnavailable,
    respond(ctx, failure) {
      ctx.respond = false;
      sendFailure(ctx.req, ctx.res, failure);
    },
  });
}
