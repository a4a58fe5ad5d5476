import { dueAt, isDead } from '@ephemera/domain';
import type { OnKilled } from './kill.ts';
import { DEAD_HOST_GRACE_MS, HOST_DEAD_AFTER_MS } from './limits.ts';
import type { Instances } from './ports.ts';

export interface ExpireInstancesPorts {
  readonly instances: Pick<Instances, 'now' | 'ofHost' | 'startDraining' | 'finalize'>;
  readonly hosts: {
    hostStatuses(
      now: number,
    ): Promise<readonly { readonly host: string; readonly seenAt: number }[]>;
  };
  readonly onKilled?: OnKilled | undefined;
}

/**
 * Finalizes the instances of dead hosts after their deadlines, so that they release capacity and
 * leave the lists. A host that comes back finds their containers dead and removes them. Returns the
 * ids.
 */
export async function expireInstancesOfDeadHosts({
  instances,
  hosts,
  onKilled,
}: ExpireInstancesPorts): Promise<string[]> {
  const now = await instances.now();
  const finalized: string[] = [];
  for (const { host, seenAt } of await hosts.hostStatuses(now)) {
    if (seenAt > now - HOST_DEAD_AFTER_MS) continue;
    for (const instance of await instances.ofHost(host)) {
      if (isDead(instance.state)) continue;
      const since = instance.state === 'draining' ? instance.lastTransitionAt : dueAt(instance);
      if (since > now - DEAD_HOST_GRACE_MS) continue;
      const outcome = await instances.startDraining(instance.id, 'due');
      if (outcome.kind !== 'draining') continue;
      if (!(await instances.finalize(instance.id, outcome.instance.generation, 'left'))) continue;
      onKilled?.(outcome.instance);
      finalized.push(instance.id);
    }
  }
  return finalized;
}
