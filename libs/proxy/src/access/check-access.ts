import type { IncomingHttpHeaders } from 'node:http';
import { isDead } from '@ephemera/domain';
import type { Route } from '@ephemera/domain';
import { matchesToken, presentedTokens } from './access-token.ts';

/**
 * Whether a request may reach its instance: `open` if no token is required, `token_presented` if it
 * carries the right token, `token_in_url` if the right token is in its URL.
 *
 * In every state a guarded instance answers `access_denied` to other requests. So strangers do not
 * learn when it started or why it ended. A request with a token is also denied for an unknown or
 * ended id. So a token cannot be used to probe ids.
 */
export type AccessCheck =
  | { readonly kind: 'open' | 'access_denied' }
  | { readonly kind: 'token_presented'; readonly by: 'header' | 'cookie' }
  | { readonly kind: 'token_in_url'; readonly token: string };

export function checkAccess(
  {
    headers,
    url = '',
  }: { readonly headers: IncomingHttpHeaders; readonly url?: string | undefined },
  route: Route | undefined,
): AccessCheck {
  if (route?.access === undefined) {
    const isLive = route !== undefined && !isDead(route.state) && route.state !== 'draining';
    return { kind: isLive || !presentedTokens(headers, url) ? 'open' : 'access_denied' };
  }
  const { access } = route;
  const shown = presentedTokens(headers, url);
  const right = shown?.tokens.find((token) => matchesToken(token, access));
  if (shown === undefined || right === undefined) return { kind: 'access_denied' };
  return shown.by === 'link'
    ? { kind: 'token_in_url', token: right }
    : { kind: 'token_presented', by: shown.by };
}

/**
 * Returns whether a request that is authorised by its cookie alone comes from the instance's own
 * pages.
 *
 * A browser sends the cookie with every same-site request, and below one domain all instances are
 * same-site. Without this check, pages of one instance could send requests in the visitor's name to
 * another, and read WebSocket messages. Navigations are allowed, because the other page cannot read
 * the result.
 *
 * Browsers send Fetch Metadata only over TLS and to localhost. Over plain HTTP only `Origin` is
 * left, with WebSockets (RFC 6455 4.1), posts and CORS. A request with neither passes.
 *
 * @param origin of the instance, as browsers serialize it
 */
export function isFromOwnPage(
  method: string,
  headers: IncomingHttpHeaders,
  origin: string | undefined,
): boolean {
  const site = headers['sec-fetch-site'];
  if (headers.origin !== undefined && headers.origin === origin) return true;
  if (site === undefined) return headers.origin === undefined;
  if (site === 'same-origin' || site === 'none') return true;
  return headers['sec-fetch-mode'] === 'navigate' && (method === 'GET' || method === 'HEAD');
}
