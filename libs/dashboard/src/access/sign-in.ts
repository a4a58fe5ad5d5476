import bodyParser from '@koa/bodyparser';
import Router from '@koa/router';
import { allows } from '@ephemera/domain';
import { GUESSES } from '@ephemera/http';
import type { TokenSet, WrongGuesses } from '@ephemera/http';
import { addressOf } from './audit-actions.ts';
import { EXACT } from '../exact-paths.ts';
import { loginPage } from '../pages/login-page.ts';
import { HOME, LOGOUT, loginTarget } from './login-target.ts';
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
  readonly authThrottle: WrongGuesses;
}

/** The way in for a person, and the way out. */
export function signInRouter({ tokens, sessions, authThrottle }: SignIn): Router {
  const router = new Router(EXACT);
  const body = bodyParser({ enableTypes: ['form'], formLimit: '4kb' });

  router.get('/', (ctx) => ctx.redirect(HOME));

  router.get('/login', (ctx) => {
    ctx.type = 'html';
    ctx.body = loginPage({ next: loginTarget(ctx.query['next']) });
  });

  router.post('/login', body, (ctx) => {
    requireSameOrigin(ctx);
    const { token: offered, next } = ctx.request.body as { token?: unknown; next?: unknown };
    const target = loginTarget(next);
    const refuse = (status: number, fault: string) => {
      ctx.status = status;
      ctx.type = 'html';
      ctx.body = loginPage({ next: target, fault });
    };
    if (!authThrottle.mayTry(addressOf(ctx))) {
      ctx.set('retry-after', String(GUESSES.within / 1000));
      refuse(429, 'Too many wrong tokens. Wait a minute, then try again.');
      return;
    }
    const who = typeof offered === 'string' ? tokens.identify(offered.trim()) : undefined;
    if (!who || !allows(who, 'read')) {
      authThrottle.note(addressOf(ctx));
      refuse(401, 'That is no token that opens this.');
      return;
    }
    ctx.state['principal'] = who;
    setSessionCookie(ctx, sessions.create(who));
    ctx.status = 303;
    ctx.redirect(target);
  });

  router.post(LOGOUT, (ctx) => {
    requireSameOrigin(ctx);
    ctx.state['principal'] = sessionPrincipal(ctx, sessions);
    endSessions(ctx, sessions);
    clearSessionCookie(ctx);
    ctx.status = 303;
    ctx.redirect('/login');
  });
  return router;
}
