import { ApiError, allows } from '@ephemera/domain';
import type { Principal } from '@ephemera/domain';
import { GUESSES, bearerOf } from '@ephemera/http';
import type { TokenSet, WrongGuesses } from '@ephemera/http';
import type { Context, Middleware } from 'koa';
import { addressOf } from './audit-actions.ts';
import { requireSameOrigin } from './same-origin.ts';
import { sessionPrincipal } from './session-cookie.ts';
import type { Sessions } from './session.ts';

export interface AuthenticationPorts {
  readonly tokens: TokenSet;
  readonly sessions: Sessions;
  /** Shared with the login. */
  readonly authThrottle: WrongGuesses;
}

/**
 * Lets through who sends a token, or the cookie of a session that one began: to look with scope
 * `read`, to change something with `admin`. The state `principal` is who, `by` tells how.
 * An address that has sent too many wrong tokens is refused whatever token it sends.
 * @throws ApiError unauthorized, forbidden, rate_limited; 403 where another site's page asks
 */
export function authenticate({ tokens, sessions, authThrottle }: AuthenticationPorts): Middleware {
  return async (ctx, next) => {
    const bearer = bearerOf(ctx.get('authorization'));
    if (bearer !== undefined && !authThrottle.mayTry(addressOf(ctx))) {
      const resetsIn = GUESSES.within / 1000;
      throw new ApiError({ kind: 'rate_limited', by: 'address', resetsIn });
    }
    const principal =
      bearer === undefined ? sessionPrincipal(ctx, sessions) : tokens.identify(bearer);
    if (!principal) {
      if (bearer !== undefined) authThrottle.note(addressOf(ctx));
      throw new ApiError({ kind: 'unauthorized' });
    }
    // Known from here on, so that what is refused is told of with who it was.
    ctx.state['principal'] = principal;
    ctx.state['by'] = bearer === undefined ? 'session' : 'token';
    if (bearer === undefined) requireSameOrigin(ctx);
    const needs = ctx.method === 'GET' || ctx.method === 'HEAD' ? 'read' : 'admin';
    if (!allows(principal, needs)) throw new ApiError({ kind: 'forbidden', needs });
    await next();
  };
}

/** Who asks, behind `admit`. */
export function principalOf(ctx: Pick<Context, 'state'>): Principal {
  return (ctx.state as { readonly principal: Principal }).principal;
}
