import { allows } from '@ephemera/domain';
import { type BoundRoute, route, setPrincipal } from '@ephemera/http';
import type { TokenSet, AuthThrottle } from '@ephemera/http';
import { addressOf } from './audit-actions.ts';
import { dashboardRoutes } from '../dashboard-routes.ts';
import { loginPage } from '../pages/login-page.ts';
import { HOME, loginTarget } from './login-target.ts';
import { requireSameOrigin } from './same-origin.ts';
import {
  clearSessionCookie,
  endSessions,
  sessionPrincipal,
  setSessionCookie,
} from './session-cookie.ts';
import type { Sessions } from './session.ts';

export interface SignIn {
  readonly tokens: Pick<TokenSet, 'identify'>;
  readonly sessions: Sessions;
  /** Shared with bearer tokens. */
  readonly authThrottle: AuthThrottle;
}

/** Login and logout. */
export function signInRoutes({ tokens, sessions, authThrottle }: SignIn): BoundRoute[] {
  const root = route(dashboardRoutes.root, (ctx) => ctx.redirect(HOME));
  const home = route(dashboardRoutes.home, (ctx) => ctx.redirect(HOME));

  const login = route(dashboardRoutes.login, (ctx, { query }) => {
    ctx.type = 'html';
    ctx.body = loginPage({ next: loginTarget(query.next) });
  });

  const signIn = route(dashboardRoutes.signIn, async (ctx, { body: { token, next } }) => {
    requireSameOrigin(ctx);
    const target = loginTarget(next);
    const refuse = (status: number, fault: string) => {
      ctx.status = status;
      ctx.type = 'html';
      ctx.body = loginPage({ next: target, fault });
    };
    const identified = tokens.identify(token.trim());
    const principal = identified && allows(identified, 'read') ? identified : undefined;
    const address = addressOf(ctx);
    const resetsIn = principal
      ? await authThrottle.isBlocked(address)
      : await authThrottle.recordFailure(address);
    if (resetsIn !== undefined) {
      ctx.set('retry-after', String(resetsIn));
      refuse(429, 'Too many invalid tokens from your address. Wait a minute, then try again.');
      return;
    }
    if (!principal) {
      refuse(401, 'Invalid token, or a token without scope read. Check it, then try again.');
      return;
    }
    setPrincipal(ctx, principal);
    setSessionCookie(ctx, sessions.create(principal));
    ctx.status = 303;
    ctx.redirect(target);
  });

  const signOut = route(dashboardRoutes.signOut, (ctx) => {
    requireSameOrigin(ctx);
    setPrincipal(ctx, sessionPrincipal(ctx, sessions));
    endSessions(ctx, sessions);
    clearSessionCookie(ctx);
    ctx.status = 303;
    ctx.redirect('/dashboard/login');
  });
  return [root, home, login, signIn, signOut];
}
