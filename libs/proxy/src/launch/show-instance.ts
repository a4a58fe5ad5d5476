import type { Context } from 'koa';
import { accessCookies } from '../access/access-cookies.ts';
import { accessLink } from '../access/access-link.ts';
import { ACCESS_HEADER } from '../access/presented-tokens.ts';
import type { Started } from '../starting/start-instance.ts';

/** How the response presents an instance. */
interface PresentOptions {
  readonly prefix: string;
  /** Whether the public URL uses TLS. */
  readonly secure: boolean;
  /** Whether the response is the bare id instead of a redirect. */
  readonly isBare: boolean;
}

/**
 * Redirects a visitor to the started instance, or returns its bare id with `?redirect=0`. For a
 * guarded instance the browser also gets its access cookie; for an instance on its own origin, the
 * redirect URL carries the token, and the proxy sets the cookie there. The token header is sent to
 * programs, and to browsers only where the template lets visitors share it.
 */
export function showInstance(
  ctx: Context,
  { instance, accessToken }: Pick<Started, 'instance' | 'accessToken'>,
  { prefix, secure, isBare }: PresentOptions,
): void {
  const { id, url, template } = instance;
  const { pathname } = new URL(url);
  const isOwnOrigin = pathname === '/';
  ctx.set('cache-control', 'no-store');
  ctx.set('referrer-policy', 'no-referrer');
  ctx.type = 'text/plain';
  if (accessToken !== undefined) {
    if (isBare || template.access === 'token') ctx.set(ACCESS_HEADER, accessToken);
    const ports = Object.keys(template.ports);
    const bound = { prefix, id, ports, form: 'path', secure } as const;
    if (!isOwnOrigin) ctx.set('set-cookie', accessCookies(accessToken, bound));
  }
  if (isBare) {
    ctx.body = id;
    return;
  }
  ctx.status = ctx.method === 'POST' ? 303 : 307;
  // A path-only Location keeps the host and the scheme that the visitor used.
  const own = accessToken === undefined ? url : accessLink(url, accessToken);
  ctx.set('location', isOwnOrigin ? own : pathname);
  ctx.body = `${url}\n`;
}
