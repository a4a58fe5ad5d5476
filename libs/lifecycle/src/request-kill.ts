import type { Instance } from '@ephemera/domain';
import type { Ending, Instances } from './ports.ts';

export interface RequestKillPorts {
  readonly instances: Pick<Instances, 'end' | 'bury'>;
  readonly ends: Ends;
}

/** The jobs that finish what `end` began, on the host that has the container. */
export interface Ends {
  finish(instance: Pick<Instance, 'id' | 'generation' | 'supersedes' | 'host'>): Promise<void>;
}

/**
 * Ends an instance from where there is no Docker daemon: the route goes at once, and a worker of
 * its host removes the container. One that no worker has begun has none, and is buried here.
 */
export async function requestKill(
  { instances, ends }: RequestKillPorts,
  id: string,
  why: 'request' | 'surplus' = 'request',
): Promise<Ending> {
  const ending = await instances.end(id, why);
  if (ending.kind !== 'draining') return ending;
  const { instance } = ending;
  if (instance.host === undefined) await instances.bury(id, instance.generation);
  else await ends.finish(instance);
  return ending;
}
