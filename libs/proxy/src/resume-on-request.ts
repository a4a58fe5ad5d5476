import type { HostRpc } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type { InstanceStore, RouteCache } from '@ephemera/store';

export interface ResumePorts {
  readonly routes: Pick<RouteCache, 'peek' | 'find' | 'confirm' | 'waitFor' | 'onDrop'>;
  readonly instances: Pick<InstanceStore, 'get'>;
  readonly hostRpc: HostRpc;
  readonly logger: Logger;
}

/**
 * The routes, with a way to wait that resumes: whoever waits for an instance that is paused until
 * the next request is that request. Many who wait ask once.
 */
export function resumeOnRequest({
  routes,
  instances,
  hostRpc,
  logger,
}: ResumePorts): ResumePorts['routes'] {
  const waking = new Set<string>();
  const wake = async (id: string): Promise<void> => {
    const route = (await routes.find(id))?.route;
    if (route?.state !== 'paused' || route.resume !== 'request') return;
    const host = (await instances.get(id))?.host;
    if (host === undefined) return;
    const reply = await hostRpc.request(host, { op: 'resume', id });
    if (reply?.kind === 'done') logger.info({ id, by: 'request' }, 'resumed');
    else logger.warn({ id, reply }, 'not resumed');
  };
  return {
    peek: (id) => routes.peek(id),
    find: (id) => routes.find(id),
    confirm: (id) => routes.confirm(id),
    onDrop: (listener) => routes.onDrop(listener),
    waitFor(id, until, timeoutMs, signal) {
      if (!waking.has(id)) {
        waking.add(id);
        wake(id)
          .catch((error: unknown) => logger.warn({ err: error, id }, 'not resumed'))
          .finally(() => waking.delete(id));
      }
      return routes.waitFor(id, until, timeoutMs, signal);
    },
  };
}
