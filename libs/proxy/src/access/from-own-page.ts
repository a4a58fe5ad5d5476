import type { IncomingHttpHeaders } from 'node:http';

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
