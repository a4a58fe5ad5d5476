import type { Context } from 'koa';

/**
 * The path of the session cookie. It is never `/`: a browser sends cookies to every port of a host
 * name, so a cookie for `/` would reach the instances that the proxy serves on another port.
 */
export const SESSION_PATH = '/dashboard';

/** The pages that a login may lead to. */
const PAGES = ['/dashboard/instances', '/dashboard/queues'];

export const HOME = '/dashboard/instances';

/** Below `SESSION_PATH`: the browser must send the cookie of the session that it ends. */
export const LOGOUT = '/dashboard/logout';

/** Where a login leads: the requested page if it is one of the dashboard, else the home page. */
export function loginTarget(asked: string | undefined): string {
  const url = asked === undefined ? null : URL.parse(asked, 'http://dashboard');
  if (url?.host !== 'dashboard') return HOME;
  const path = url.pathname.replace(/\/$/, '');
  const known = PAGES.some((text) => path === text || path.startsWith(`${text}/`));
  return known ? `${path}${url.search}` : HOME;
}

/** The login page that leads back to the requested page. */
export function loginFor(ctx: Context): string {
  const target = ctx.method === 'GET' ? loginTarget(ctx.url) : HOME;
  return target === HOME
    ? '/dashboard/login'
    : `/dashboard/login?next=${encodeURIComponent(target)}`;
}
