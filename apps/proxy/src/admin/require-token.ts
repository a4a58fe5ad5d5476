import { createHash, timingSafeEqual } from 'node:crypto';
import { FailureError } from '@ephemera/domain';
import type { Middleware } from 'koa';

/** Lets only holders of the token pass; compares in a time that tells nothing about it. */
export function requireToken(token: string): Middleware {
  const expected = digest(token);
  return async (ctx, next) => {
    const given = /^Bearer (\S+)$/i.exec(ctx.get('authorization'))?.[1] ?? '';
    if (!timingSafeEqual(digest(given), expected)) throw new FailureError({ kind: 'unauthorized' });
    await next();
  };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
