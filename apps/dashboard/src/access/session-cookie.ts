import type { Context } from 'koa';
import { SESSION_PATHS } from './login-target.ts';
import { SESSION } from './session.ts';

export const SESSION_COOKIE = 'ephemera-dashboard';

/** Sets the session's cookie, once for each part that it opens. */
export function setSessionCookie(ctx: Context, value: string): void {
  writeCookies(ctx, value, SESSION / 1000);
}

export function clearSessionCookie(ctx: Context): void {
  writeCookies(ctx, '', 0);
}

function writeCookies(ctx: Context, value: string, maxAge: number): void {
  // Anyone may send this header, but only harms their own login by lying.
  const secure = ctx.secure || ctx.get('x-forwarded-proto').split(',')[0]?.trim() === 'https';
  for (const path of SESSION_PATHS) {
    const cookie = `${SESSION_COOKIE}=${value}; Path=${path}; Max-Age=${maxAge}; HttpOnly; SameSite=Strict`;
    ctx.append('set-cookie', secure ? `${cookie}; Secure` : cookie);
  }
}
