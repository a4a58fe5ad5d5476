import type { IncomingHttpHeaders } from 'node:http';

/** What distinguishes the product's own pages from other pages. */
interface RequestOrigin {
  /**
   * Whether an origin is the product's own and not an instance's. Used where browsers send only
   * `Origin`.
   */
  readonly isOwn: (origin: string) => boolean;
  /** Whether pages of instances share this origin. */
  readonly isShared: boolean;
}

/**
 * Rejects requests that the user did not intend: prefetches, and subresources of other sites or of
 * instances. The product's own pages start instances with a form. Any page may link or post to it
 * as a navigation, because the visitor then sees the result.
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
  // Over plain HTTP browsers send only `Origin`, and only with posts.
  const { origin } = headers;
  if (site === undefined && method === 'POST' && origin !== undefined && !isOwn(origin)) {
    return 'subresource';
  }
  return undefined;
}
