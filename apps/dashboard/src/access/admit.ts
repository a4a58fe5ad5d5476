import { FailureError, allows } from '@ephemera/domain';
import type { Principal } from '@ephemera/domain';
import { bearerOf } from '@ephemera/runtime';
import type { TokenSet } from '@ephemera/runtime';
import type { Context, Middleware } from 'koa';
import { requireSameOrigin } from './same-origin.ts';
import { sessionHolder } from './session-cookie.ts';
import type { Sessions } from './session.ts';

/**
 * Lets through who sends a token, or the cookie of a session that one began: to look with scope
 * `read`, to change something with `admin`. The state `principal` is who, `by` tells how.
 * @throws FailureError unauthorized, forbidden; 403 where another site's page asks
 */
export function admit(tokens: TokenSet, sessions: Sessions): Middleware {
  return async (ctx, next) => {
    const bearer = bearerOf(ctx.get('authorization'));
    const principal = bearer === undefined ? sessionHolder(ctx, sessions) : tokens.identify(bearer);
    if (!principal) throw new FailureError({ kind: 'unauthorized' });
    // Known from here on, so that what is refused is told of with who it was.
    ctx.state['principal'] = principal;
    ctx.state['by'] = bearer === undefined ? 'session' : 'token';
    if (bearer === undefined) requireSameOrigin(ctx);
    const needs = ctx.method === 'GET' || ctx.method === 'HEAD' ? 'read' : 'admin';
    if (!allows(principal, needs)) throw new FailureError({ kind: 'forbidden', needs });
    await next();
  };
}

/** Who asks, behind `admit`. */
export function principalOf(ctx: Pick<Context, 'state'>): Principal {
  return (ctx.state as { readonly principal: Principal }).principal;
}
