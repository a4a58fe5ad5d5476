import type { IncomingMessage } from 'node:http';
import { prefersHtml } from '@ephemera/http';

/** What a page may be shown in; an `<object>` or `<embed>` counts on what it asked for. */
const PAGES = ['document', 'iframe', 'frame'];

/**
 * Whether a person's browser opens a page with this request. Browsers say so (Fetch Metadata), but
 * not to plain HTTP outside of localhost: there it is who asks for text/html first, and does not
 * say that a script asks.
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
