import type { Instance } from '@ephemera/domain';
import type { DrainOutcome, Instances } from './ports.ts';

export interface RequestKillPorts {
  readonly instances: Pick<Instances, 'startDraining' | 'finalize'>;
  readonly killRequests: KillRequests;
}

/** The jobs that finish what `end` began, on the host that has the container. */
export interface KillRequests {
  enqueueNow(instance: Pick<Instance, 'id' | 'generation' | 'supersedes' | 'host'>): Promise<void>;
}

/**
 * Ends an instance from where there is no Docker daemon: the route goes at once, and a worker of
 * its host removes the container. One that no worker has begun has none, and is buried here.
 */
export async function requestKill(
  { instances, killRequests }: RequestKillPorts,
  id: string,
  reason: 'request' | 'surplus' = 'request',
): Promise<DrainOutcome> {
  const outcome = await instances.startDraining(id, reason);
  if (outcome.kind !== 'draining') return outcome;
  const { instance } = outcome;
  if (instance.host === undefined) await instances.finalize(id, instance.generation);
  else await killRequests.enqueueNow(instance);
  return outcome;
}
