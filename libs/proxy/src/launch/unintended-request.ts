import type { IncomingHttpHeaders } from 'node:http';

/** What is asked for an instance, as far as pages of ours are told from others by it. */
interface RequestOrigin {
  /** Whether a host is one of ours, and no instance's: where browsers tell no more than that. */
  readonly isOwn: (host: string) => boolean;
  /** Whether pages of instances are on the same origin. */
  readonly isShared: boolean;
}

/**
 * Why a request is not somebody's wish for an instance: a browser fetches ahead, or a page had it
 * made as a part of itself: one of another site, or of an instance, which is beside this, or on the
 * same origin. Our own pages lead here by a form, and any other may, or by a link: then the visitor
 * sees what comes of it.
 */
export function unintendedReason(
  method: string,
  headers: IncomingHttpHeaders,
  { isOwn, isShared }: RequestOrigin,
): 'prefetch' | 'subresource' | undefined {
  for (const name of ['sec-purpose', 'purpose', 'x-purpose', 'x-moz']) {
    if (/\b(?:prefetch|prerender|preview)\b/i.test([headers[name]].join())) return 'prefetch';
  }
  const site = headers['sec-fetch-site'];
  if (site === 'cross-site' || site === 'same-site' || (site === 'same-origin' && isShared)) {
    const isPage =
      headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document';
    return isPage ? undefined : 'subresource';
  }
  // Over plain HTTP browsers say no more than the origin, and that with posts alone.
  if (site === undefined && method === 'POST' && headers.origin !== undefined) {
    const host = URL.parse(headers.origin)?.host;
    if (host === undefined || !isOwn(host)) return 'subresource';
  }
  return undefined;
}
