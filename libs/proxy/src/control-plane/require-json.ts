import { ApiError } from '@ephemera/domain';
import type { Middleware } from 'koa';

/** A body of another type than JSON would be taken for none, and its fields for their defaults. */
export const requireJson: Middleware = async (ctx, next) => {
  if (ctx.request.is('json') === false) {
    const faults = [{ path: '', detail: 'the body must be application/json' }];
    throw new ApiError({ kind: 'invalid', status: 415, faults });
  }
  await next();
};
