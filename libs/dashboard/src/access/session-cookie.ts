import type { Principal } from '@ephemera/domain';
import type { Context } from 'koa';
import { SESSION_PATH } from './login-target.ts';
import { SESSION } from './session.ts';
import type { Sessions } from './session.ts';

const NAME = 'ephemera-dashboard';
/**
 * Over TLS, `__Host-` makes the browser refuse this cookie from another host or for a longer path
 * (RFC 6265bis 4.1.3.2). It requires `Path=/`. The proxy removes cookies named `ephemera-` from
 * requests to instances.
 */
const SECURE_NAME = `__Host-${NAME}`;

/** Sets the session cookie. */
export function setSessionCookie(ctx: Context, value: string): void {
  writeCookies(ctx, value, SESSION / 1000);
}

export function clearSessionCookie(ctx: Context): void {
  writeCookies(ctx, '', 0);
}

/** The principal of the session that a browser sent. */
export function sessionPrincipal(ctx: Context, sessions: Sessions): Principal | undefined {
  return sessionCookies(ctx)
    .map((text) => sessions.principal(text))
    .find(Boolean);
}

/** Ends the sessions that a browser sent, and every copy of their cookies. */
export function endSessions(ctx: Context, sessions: Sessions): void {
  for (const text of sessionCookies(ctx)) sessions.end(text);
}

/**
 * The session cookies of a request. There may be several: a page of an instance on another port of
 * this host name can set a cookie of the same name for a longer path, which the browser sends first.
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
  const attributes = `Max-Age=${maxAge}; HttpOnly; SameSite=Strict`;
  if (isSecure(ctx)) {
    ctx.append('set-cookie', `${SECURE_NAME}=${value}; Path=/; ${attributes}; Secure`);
    return;
  }
  ctx.append('set-cookie', `${NAME}=${value}; Path=${SESSION_PATH}; ${attributes}`);
}

/** X-Forwarded-Proto needs no trust here: a client that forges it only breaks its own login. */
function isSecure(ctx: Context): boolean {
  return ctx.secure || ctx.get('x-forwarded-proto').split(',')[0]?.trim() === 'https';
}
