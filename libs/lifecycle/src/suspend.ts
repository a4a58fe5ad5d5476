import type { Instance } from '@ephemera/domain';
import type { Containers, Instances, KillJobs, Resumed, Suspensions } from './ports.ts';

export interface SuspendPorts {
  readonly suspensions: Suspensions;
  readonly instances: Pick<Instances, 'get' | 'now'>;
  readonly containers: Pick<Containers, 'pauseContainer' | 'unpauseContainer'>;
  readonly killJobs: Pick<KillJobs, 'schedule' | 'cancel'>;
}

/**
 * Pauses an instance: first its route, then its container. A crash between the two leaves a running
 * container that clients cannot reach; the next resume corrects that.
 */
export async function pause(
  { suspensions, containers, instances }: SuspendPorts,
  id: string,
): Promise<'paused' | 'refused' | 'absent'> {
  const paused = await suspensions.pause(id);
  if (paused !== 'paused') return paused;
  await pauseContainer({ containers, instances }, id);
  return 'paused';
}

/** Pauses the container of a paused instance. Returns the instance if it was resumed meanwhile. */
export async function pauseContainer(
  {
    containers,
    instances,
  }: Pick<SuspendPorts, 'containers'> & {
    readonly instances: Pick<Instances, 'get'>;
  },
  id: string,
): Promise<Instance | undefined> {
  await containers.pauseContainer(id);
  // A concurrent resume may have unpaused the container before this pause did.
  const instance = await instances.get(id);
  if (instance?.state !== 'ready') return undefined;
  await containers.unpauseContainer(id);
  return instance;
}

/**
 * Resumes an instance. The container is unpaused before the route changes, and again after it,
 * because a pause may run in between.
 */
export async function resume(ports: SuspendPorts, id: string): Promise<Resumed['kind']> {
  const { suspensions, containers, killJobs, instances } = ports;
  await containers.unpauseContainer(id);
  const resumed = await suspensions.resume(id);
  if (resumed.kind !== 'resumed') return resumed.kind;
  await containers.unpauseContainer(id);
  if (resumed.sooner) {
    const { instance } = resumed;
    await killJobs.cancel({ ...instance, supersedes: instance.generation });
    await killJobs.schedule(instance, Math.max(0, instance.expiresAt - (await instances.now())));
  }
  return 'resumed';
}
