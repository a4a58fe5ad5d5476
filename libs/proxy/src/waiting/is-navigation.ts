import type { IncomingMessage } from 'node:http';
import { prefersHtml } from '@ephemera/http';

/** Destinations that show a page. `<object>` and `<embed>` expect the resource itself. */
const PAGES = ['document', 'iframe', 'frame'];

/**
 * Returns whether a browser opens a page with this request. Browsers send Fetch Metadata only over
 * TLS and to localhost. Otherwise a request counts that prefers text/html and is not marked as sent
 * by a script.
 */
export function isNavigation({ method, headers }: IncomingMessage): boolean {
  if (method !== 'GET' || headers.upgrade !== undefined) return false;
  const mode = headers['sec-fetch-mode'];
  if (mode === undefined) {
    return prefersHtml(headers.accept) && headers['x-requested-with'] === undefined;
  }
  const dest = headers['sec-fetch-dest'];
  return mode === 'navigate' && (dest === undefined || PAGES.includes(dest));
}
