import { isDead } from '@ephemera/domain';
import { type RequestKillPorts, requestKill } from './kill.ts';
import type { Containers, Instances } from './ports.ts';

export interface DrainHostPorts extends RequestKillPorts {
  readonly instances: RequestKillPorts['instances'] & Pick<Instances, 'now' | 'ofHost'>;
  readonly containers: Pick<Containers, 'list'>;
  readonly hosts: {
    cordonOf(host: string): Promise<
      | {
          readonly drain?: {
            readonly deadline?: number | undefined;
            readonly isEmpty: boolean;
          };
        }
      | undefined
    >;
    reportEmpty(host: string, isEmpty: boolean): Promise<void>;
  };
}

/**
 * Ends what a drain of this host ends now: its warm instances, which no client uses, and after the
 * deadline of the drain all others. Reports whether a container is left. It is called repeatedly,
 * because instances that were starting become warm later. Returns the ids.
 */
export async function drainHost(
  { instances, killRequests, containers, hosts }: DrainHostPorts,
  host: string,
): Promise<string[]> {
  const drain = (await hosts.cordonOf(host))?.drain;
  if (!drain) return [];
  const isOver = drain.deadline !== undefined && (await instances.now()) >= drain.deadline;
  const ended: string[] = [];
  const left = await instances.ofHost(host);
  for (const { id, state } of left) {
    if (isDead(state) || state === 'draining' || (state !== 'warm' && !isOver)) continue;
    // A client may claim a warm instance before this call. Then it keeps running.
    const { kind } = await requestKill(
      { instances, killRequests },
      id,
      isOver ? 'host_drained' : 'surplus',
    );
    if (kind === 'draining') ended.push(id);
  }
  const isEmpty = left.length === 0 && (await containers.list()).length === 0;
  if (isEmpty !== drain.isEmpty) await hosts.reportEmpty(host, isEmpty);
  return ended;
}
