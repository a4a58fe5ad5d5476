import type { Context } from 'koa';
import { accessCookies } from '../access/access-cookies.ts';
import { accessLink } from '../access/access-link.ts';
import { ACCESS_HEADER } from '../access/presented-tokens.ts';
import type { Started } from '../starting/start-instance.ts';

/** How an instance is shown. */
interface PresentedTokens {
  readonly prefix: string;
  /** Whether the public address is one of TLS. */
  readonly secure: boolean;
  /** Whether the answer is the bare id, not a redirection. */
  readonly isBare: boolean;
}

/**
 * Leads a visitor to the instance that was started for them, or tells its bare id with
 * `?redirect=0`. Where it is guarded the browser takes the cookie that opens it along; on an origin
 * of its own that is set by the way. The token itself is shown to programs, and to a browser only
 * where others may be given it.
 */
export function showInstance(
  ctx: Context,
  { instance, accessToken }: Pick<Started, 'instance' | 'accessToken'>,
  { prefix, secure, isBare }: PresentedTokens,
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
  // A path of one's own keeps the host and the scheme by which the visitor came.
  const own = accessToken === undefined ? url : accessLink(url, accessToken);
  ctx.set('location', isOwnOrigin ? own : pathname);
  ctx.body = `${url}\n`;
}
