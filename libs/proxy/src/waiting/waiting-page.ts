import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Instance } from '@ephemera/domain';
import type { InstanceStore, RouteCache } from '@ephemera/store';
import { pageHeaders } from '../security-headers.ts';
import { isNavigation } from './is-navigation.ts';
import { isStarting, viewStart } from './start-view.ts';
import type { Theme } from './theme.ts';

export interface Waiting {
  readonly routes: Pick<RouteCache, 'peek' | 'find' | 'waitFor'>;
  readonly instances: Pick<InstanceStore, 'get'>;
  readonly prefix: string;
  readonly theme: Theme;
  /** Aborts when the replica stops, and ends the streams of steps. */
  readonly stopping: AbortSignal;
}

/**
 * Where the steps of a start are told, on the origin of the instance's own pages in either form of
 * address. `-` begins no id, and in host form the id stands in it: no application's path is hidden.
 */
export function eventsPath(prefix: string, id: string): string {
  return `/${prefix}/-/${id}/events`;
}

/**
 * Answers a browser that navigates to an instance which is still starting with the waiting page.
 * False where it is no such request: those are held, since a script or an API client could not
 * tell the page from what it asked for.
 *
 * The status is 200: a start is nothing wrong, and 5xx raises alarms, takes backends out of
 * balancers and is replaced by them. A header tells it from the application's own pages.
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

/** The page does without what Redis does not tell at the moment. */
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
    template: instance?.template.name ?? 'the instance',
    id,
    nonce,
    events: eventsPath(prefix, id),
  });
  res.writeHead(200, {
    'content-type': 'text/html; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'ephemera-state': 'starting',
    vary: 'Accept, Sec-Fetch-Mode, Sec-Fetch-Dest',
    ...pageHeaders({ nonce, hasButton: false }),
  });
  res.end(body);
}
