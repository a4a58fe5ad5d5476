import type { IncomingHttpHeaders } from 'node:http';

/** Hosts by which visitors come, where a browser does not say whether a page is of this site. */
type OwnHost = (host: string) => boolean;

/**
 * Why a request is not somebody's wish for an instance: a browser fetches ahead, or a page of
 * another site (or of an instance, which is one beside this) had it made as a part of itself.
 * Such a page may lead here, by a link or a form: then the visitor sees what comes of it.
 */
export function whyUnasked(
  method: string,
  headers: IncomingHttpHeaders,
  isOwn: OwnHost,
): 'prefetch' | 'subresource' | undefined {
  for (const name of ['sec-purpose', 'purpose', 'x-purpose', 'x-moz']) {
    if (/\b(?:prefetch|prerender|preview)\b/i.test([headers[name]].join())) return 'prefetch';
  }
  const site = headers['sec-fetch-site'];
  if (site === 'cross-site' || site === 'same-site') {
    const isPage =
      headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document';
    return isPage ? undefined : 'subresource';
  }
  // Over plain HTTP browsers say no more than the origin, and that with a form alone.
  if (site === undefined && method === 'POST' && headers.origin !== undefined) {
    const host = URL.parse(headers.origin)?.host;
    if (host === undefined || !isOwn(host)) return 'subresource';
  }
  return undefined;
}
