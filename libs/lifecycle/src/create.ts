import type { Instance, InstanceDraft } from '@ephemera/domain';
import type { Instances } from './ports.ts';

export interface CreatePorts {
  readonly instances: Pick<Instances, 'create'>;
  readonly spawns: Spawns;
}

/** The jobs that bring instances up. */
export interface Spawns {
  /** `ahead`: for a pool; whoever waits already goes first. */
  add(instance: Pick<Instance, 'id' | 'generation'>, origin?: 'pool'): Promise<void>;
}

/**
 * Writes the intent of an instance and asks the workers for it. Where the asking fails, the
 * pending instance stays behind without a container, and reconciliation ends it at its deadline.
 */
export async function create(
  { instances, spawns }: CreatePorts,
  draft: InstanceDraft,
): Promise<Instance> {
  const instance = await instances.create(draft);
  await spawns.add(instance);
  return instance;
}
