import { dueAt, isDead } from '@ephemera/domain';
import type { OnKilled } from './kill.ts';
import type { Instances } from './ports.ts';

export interface BuryLostPorts {
  readonly instances: Pick<Instances, 'now' | 'ofHost' | 'end' | 'bury'>;
  readonly hosts: {
    signs(now: number): Promise<readonly { readonly host: string; readonly seenAt: number }[]>;
  };
  readonly onKilled?: OnKilled | undefined;
}

/** How long a host is away before it counts as lost, milliseconds. */
const LOST_AFTER = 60_000;
/** How long after its deadline an instance of it is buried: its own worker would have, by then. */
const GRACE = 30_000;

/**
 * Buries what lost hosts had begun, once its time is up: nobody else would, and it would hold its
 * room and stand in every list for ever. A host that comes back finds containers whose
 * instances are dead, and removes them. Gives their ids.
 */
export async function buryLost({ instances, hosts, onKilled }: BuryLostPorts): Promise<string[]> {
  const now = await instances.now();
  const buried: string[] = [];
  for (const { host, seenAt } of await hosts.signs(now)) {
    if (seenAt > now - LOST_AFTER) continue;
    for (const instance of await instances.ofHost(host)) {
      if (isDead(instance.state)) continue;
      const since = instance.state === 'draining' ? instance.lastTransitionAt : dueAt(instance);
      if (since > now - GRACE) continue;
      const ending = await instances.end(instance.id, 'due');
      if (ending.kind !== 'draining') continue;
      if (!(await instances.bury(instance.id, ending.instance.generation, 'left'))) continue;
      onKilled?.(ending.instance);
      buried.push(instance.id);
    }
  }
  return buried;
}
