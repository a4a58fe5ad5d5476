import { allows } from '@ephemera/domain';
import { type BoundRoute, route } from '@ephemera/http';
import { AUTH_LIMIT } from '@ephemera/http';
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

/** The way in for a person, and the way out. */
export function signInRoutes({ tokens, sessions, authThrottle }: SignIn): BoundRoute[] {
  const root = route(dashboardRoutes.root, (ctx) => ctx.redirect(HOME));

  const login = route(dashboardRoutes.login, (ctx, { query }) => {
    ctx.type = 'html';
    ctx.body = loginPage({ next: loginTarget(query.next) });
  });

  const signIn = route(dashboardRoutes.signIn, (ctx, { body: { token, next } }) => {
    requireSameOrigin(ctx);
    const target = loginTarget(next);
    const refuse = (status: number, fault: string) => {
      ctx.status = status;
      ctx.type = 'html';
      ctx.body = loginPage({ next: target, fault });
    };
    if (!authThrottle.isAllowed(addressOf(ctx))) {
      ctx.set('retry-after', String(AUTH_LIMIT.timeoutMs / 1000));
      refuse(429, 'Too many wrong tokens. Wait a minute, then try again.');
      return;
    }
    const who = tokens.identify(token.trim());
    if (!who || !allows(who, 'read')) {
      authThrottle.recordFailure(addressOf(ctx));
      refuse(401, 'That is no token that opens this.');
      return;
    }
    ctx.state['principal'] = who;
    setSessionCookie(ctx, sessions.create(who));
    ctx.status = 303;
    ctx.redirect(target);
  });

  const signOut = route(dashboardRoutes.signOut, (ctx) => {
    requireSameOrigin(ctx);
    ctx.state['principal'] = sessionPrincipal(ctx, sessions);
    endSessions(ctx, sessions);
    clearSessionCookie(ctx);
    ctx.status = 303;
    ctx.redirect('/login');
  });
  return [root, login, signIn, signOut];
}
