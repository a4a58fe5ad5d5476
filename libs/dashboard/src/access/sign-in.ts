import { allows } from '@ephemera/domain';
import { route, setPrincipal, html } from '@ephemera/http';
import type { BoundRoute, TokenSet, AuthThrottle } from '@ephemera/http';
import { HOME, dashboardRoutes, loginTarget } from '../dashboard-routes.ts';
import { layout } from '../pages/layout.ts';
import { addressOf } from './audit-actions.ts';
import { requireSameOrigin } from './authenticate.ts';
import { clearSessionCookie, endSessions, sessionPrincipal, setSessionCookie } from './session.ts';
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

/**
 * Renders the login page. @param next the dashboard page to open; `fault`: why the last attempt
 * failed
 */
function loginPage({ next, fault }: { next: string; fault?: string }): string {
  return layout({
    title: 'Log in',
    body: html` <img src="/dashboard/assets/ring.svg" alt="" width="56" height="56" />
      <h1>Ephemera</h1>
      <p class="soft">Log in to see instances and queues.</p>
      <form method="post" action="/dashboard/login" class="login">
        <input type="hidden" name="next" value="${next}" />
        <label for="token">Token</label>
        <input
          id="token"
          name="token"
          type="password"
          required
          autofocus
          autocomplete="current-password"
          spellcheck="false"
          ${fault && html`aria-invalid="true" aria-describedby="fault"`}
        />
        ${fault && html`<p id="fault" class="fault" role="alert">${fault}</p>`}
        <button>Log in</button>
      </form>`,
  });
}
