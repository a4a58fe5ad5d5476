import { FailureError } from '@ephemera/domain';
import type { Middleware } from 'koa';
import { equalSecrets } from './equal-secrets.ts';
import { requireSameOrigin } from './same-origin.ts';
import { SESSION_COOKIE } from './session-cookie.ts';
import type { Sessions } from './session.ts';

/**
 * Lets through who sends the admin token, or the cookie of a session that it began; the state
 * `by` tells which.
 * @throws FailureError unauthorized; 403 where another site's page asks
 */
export function admit(token: string, sessions: Sessions): Middleware {
  return async (ctx, next) => {
    const bearer = /^Bearer (\S+)$/i.exec(ctx.get('authorization'))?.[1];
    if (bearer !== undefined && equalSecrets(bearer, token)) {
      ctx.state['by'] = 'token';
    } else if (bearer === undefined && sessions.holds(ctx.cookies.get(SESSION_COOKIE))) {
      requireSameOrigin(ctx);
      ctx.state['by'] = 'session';
    } else {
      throw new FailureError({ kind: 'unauthorized' });
    }
    await next();
  };
}
