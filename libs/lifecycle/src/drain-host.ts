import { isDead } from '@ephemera/domain';
import { type RequestKillPorts, requestKill } from './kill.ts';
import type { Instances } from './ports.ts';

export interface DrainHostPorts extends RequestKillPorts {
  readonly instances: RequestKillPorts['instances'] & Pick<Instances, 'now' | 'ofHost'>;
  readonly hosts: {
    cordonOf(host: string): Promise<
      | {
          readonly drain?: { readonly deadline?: number | undefined } | undefined;
        }
      | undefined
    >;
  };
}

/**
 * Ends what a drain of this host ends now: its warm instances, which no client uses, and after the
 * deadline of the drain all others. It is called repeatedly, because instances that were starting
 * become warm later. Returns the ids.
 */
export async function drainHost(
  { instances, killRequests, hosts }: DrainHostPorts,
  host: string,
): Promise<string[]> {
  const drain = (await hosts.cordonOf(host))?.drain;
  if (!drain) return [];
  const isOver = drain.deadline !== undefined && (await instances.now()) >= drain.deadline;
  const ended: string[] = [];
  for (const { id, state } of await instances.ofHost(host)) {
    if (isDead(state) || state === 'draining' || (state !== 'warm' && !isOver)) continue;
    // A client may claim a warm instance before this call. Then it keeps running.
    const { kind } = await requestKill(
      { instances, killRequests },
      id,
      isOver ? 'host_drained' : 'surplus',
    );
    if (kind === 'draining') ended.push(id);
  }
  return ended;
}
