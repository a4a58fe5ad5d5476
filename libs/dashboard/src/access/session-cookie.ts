import type { Principal } from '@ephemera/domain';
import type { Context } from 'koa';
import { SESSION_PATHS } from './login-target.ts';
import { SESSION } from './session.ts';
import type { Sessions } from './session.ts';

const NAME = 'ephemera-dashboard';
/**
 * Over TLS the name makes the browser itself see to it that no other host, and no page of a longer
 * path, sets one (RFC 6265bis 4.1.3.2). Its path must be `/` then; the proxy keeps what is named
 * `ephemera-` from instances.
 */
const SECURE_NAME = `__Host-${NAME}`;

/** Sets the session's cookie, without TLS once for each part that it opens. */
export function setSessionCookie(ctx: Context, value: string): void {
  writeCookies(ctx, value, SESSION / 1000);
}

export function clearSessionCookie(ctx: Context): void {
  writeCookies(ctx, '', 0);
}

/** Whose session a browser has. */
export function sessionPrincipal(ctx: Context, sessions: Sessions): Principal | undefined {
  return sessionCookies(ctx)
    .map((text) => sessions.principal(text))
    .find(Boolean);
}

/** Ends what a browser has as its session, copies of it too. */
export function endSessions(ctx: Context, sessions: Sessions): void {
  for (const text of sessionCookies(ctx)) sessions.end(text);
}

/**
 * What a browser sent as the session. It may be several: a page of an instance on another port
 * of this name can set a cookie alike for a longer path, which is then sent first.
 */
function sessionCookies(ctx: Context): string[] {
  const name = isSecure(ctx) ? SECURE_NAME : NAME;
  return ctx
    .get('cookie')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
}

function writeCookies(ctx: Context, value: string, maxAge: number): void {
  const killRequests = `Max-Age=${maxAge}; HttpOnly; SameSite=Strict`;
  if (isSecure(ctx)) {
    ctx.append('set-cookie', `${SECURE_NAME}=${value}; Path=/; ${killRequests}; Secure`);
    return;
  }
  for (const path of SESSION_PATHS) {
    ctx.append('set-cookie', `${NAME}=${value}; Path=${path}; ${killRequests}`);
  }
}

/** Anyone may send this header, but only harms their own login by lying. */
function isSecure(ctx: Context): boolean {
  return ctx.secure || ctx.get('x-forwarded-proto').split(',')[0]?.trim() === 'https';
}
