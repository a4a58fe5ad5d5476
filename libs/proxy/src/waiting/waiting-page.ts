import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Instance } from '@ephemera/domain';
import { prefersHtml } from '@ephemera/http';
import { eventsPath } from '../public-routes.ts';
import { pageHeaders } from '../security-headers.ts';
import { isStarting, viewStart } from './start-events.ts';
import type { Waiting } from './start-events.ts';

/**
 * Responds with the waiting page if a browser navigates to an instance that is still starting.
 * Returns false for any other request: that request waits, because a script or an API client
 * expects the instance's own response.
 *
 * The status is 200, because a start is not an error. A 5xx raises alarms, and load balancers
 * remove backends for it or replace it with their own page. A header distinguishes the page from
 * the application's.
 */
export function sendWaitingPage(
  waiting: Waiting,
  req: IncomingMessage,
  res: ServerResponse,
  id: string,
): boolean {
  if (!isNavigation(req)) return false;
  void readQuietly(waiting.instances, id).then((instance) => {
    if (!res.destroyed) writePage(waiting, res, id, instance);
  });
  return true;
}

/** If Redis cannot be read now, the page is shown without the details of the instance. */
async function readQuietly(
  instances: Waiting['instances'],
  id: string,
): Promise<Instance | undefined> {
  return instances.get(id).catch(() => undefined);
}

function writePage(
  { routes, prefix, theme }: Waiting,
  res: ServerResponse,
  id: string,
  instance: Instance | undefined,
): void {
  const route = routes.peek(id)?.route;
  const view = viewStart(isStarting(route) ? route : { state: 'pending', generation: 0 }, instance);
  const nonce = randomBytes(18).toString('base64');
  const body = theme({
    ...view,
    template: instance?.template.title ?? 'the instance',
    id,
    nonce,
    events: eventsPath(prefix, id),
  });
  res.writeHead(200, {
    'content-type': 'text/html; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'ephemera-state': 'starting',
    vary: 'Accept, Sec-Fetch-Mode, Sec-Fetch-Dest',
    ...pageHeaders({ nonce, hasButton: false, embed: instance?.template.embed }),
  });
  res.end(body);
}

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
