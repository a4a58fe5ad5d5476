import type { IncomingHttpHeaders } from 'node:http';

/**
 * Whether a request that rests on its cookie alone is one that the instance's own pages made. With
 * whatever a page of the same site asks for a browser sends the cookie too, and below one domain
 * each instance is of the same site as every other: their pages could speak in the visitor's name,
 * and over a WebSocket read the answer. They may lead a browser here, to what they cannot read.
 *
 * Browsers say where a request comes from (Fetch Metadata), but not to plain HTTP: there it is the
 * origin alone, with WebSockets (RFC 6455 4.1), posts and CORS. Whoever says neither is let pass.
 *
 * @param origin the instance's own, as browsers write it
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
