import type { HostRpc } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type { InstanceStore, RouteCache } from '@ephemera/store';

export interface ResumePorts {
  readonly routes: Pick<
    RouteCache,
    | 'peek'
    | 'find'
    | 'confirm'
    | 'isRegistered'
    | 'waitFor'
    | 'onDrop'
    | 'peekName'
    | 'findName'
    | 'confirmName'
  >;
  readonly instances: Pick<InstanceStore, 'get'>;
  readonly hostRpc: HostRpc;
  readonly logger: Logger;
}

/**
 * Wraps the routes so that waiting for a paused instance resumes it, where its template has
 * `resume: request`. Concurrent waits send one request to the host.
 */
export function resumeOnRequest(ports: ResumePorts): ResumePorts['routes'] {
  const { routes, instances, hostRpc, logger } = ports;
  const resuming = new Set<string>();
  const resume = async (id: string): Promise<void> => {
    const route = (await routes.find(id))?.route;
    if (route?.state !== 'paused' || route.resume !== 'request') return;
    const { host, generation } = (await instances.get(id)) ?? {};
    if (host === undefined || generation === undefined) return;
    const reply = await hostRpc.request(host, { op: 'resume', id, generation });
    if (reply?.kind === 'done') logger.info({ id, by: 'request' }, 'instance resumed');
    else logger.warn({ id, reply }, 'instance not resumed');
  };
  return {
    peek: (id) => routes.peek(id),
    find: (id) => routes.find(id),
    confirm: (id, host) => routes.confirm(id, host),
    isRegistered: (host, endpoint) => routes.isRegistered(host, endpoint),
    peekName: (name) => routes.peekName(name),
    findName: (name) => routes.findName(name),
    confirmName: (name) => routes.confirmName(name),
    onDrop: (listener) => routes.onDrop(listener),
    waitFor(id, until, timeoutMs, signal) {
      if (!resuming.has(id)) {
        resuming.add(id);
        resume(id)
          .catch((error: unknown) => logger.warn({ err: error, id }, 'instance not resumed'))
          .finally(() => resuming.delete(id));
      }
      return routes.waitFor(id, until, timeoutMs, signal);
    },
  };
}
