import type { Context } from 'koa';

/**
 * The parts that a session opens. Its cookie is bound to these paths and never sent to `/`: a
 * browser sends cookies to every port of a name, so one for `/` would reach the instances that
 * the proxy serves on another port of the same machine.
 */
export const SESSION_PATHS = ['/instances', '/queues'];

export const HOME = '/instances';

/** Below a part that the session's cookie is sent to: without it no session could be ended. */
export const LOGOUT = '/instances/logout';

/** Where to go after the login: a page of the dashboard, whatever was asked for. */
export function loginTarget(asked: unknown): string {
  const url = typeof asked === 'string' ? URL.parse(asked, 'http://dashboard') : null;
  if (url?.host !== 'dashboard') return HOME;
  const path = url.pathname.replace(/\/$/, '');
  const known = SESSION_PATHS.some((text) => path === text || path.startsWith(`${text}/`));
  return known ? `${path}${url.search}` : HOME;
}

/** The login page that leads back to what was asked for. */
export function loginFor(ctx: Context): string {
  const target = ctx.method === 'GET' ? loginTarget(ctx.url) : HOME;
  return target === HOME ? '/login' : `/login?next=${encodeURIComponent(target)}`;
}
