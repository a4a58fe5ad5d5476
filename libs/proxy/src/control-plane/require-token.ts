import { ApiError } from '@ephemera/domain';
import { bearerOf } from '@ephemera/http';
import type { Identified, TokenSet } from '@ephemera/http';
import type { Context, Middleware } from 'koa';

/** Lets only holders of a token pass; who it is, is then in the state `principal`. */
export function requireToken(tokens: Pick<TokenSet, 'identify'>): Middleware {
  return async (ctx, next) => {
    const input = bearerOf(ctx.get('authorization'));
    const principal = input === undefined ? undefined : tokens.identify(input);
    if (!principal) throw new ApiError({ kind: 'unauthorized' });
    ctx.state['principal'] = principal;
    await next();
  };
}

/** Who asks, behind `requireToken`. */
export function principalOf(ctx: Pick<Context, 'state'>): Identified {
  return (ctx.state as { readonly principal: Identified }).principal;
}
