import type { Instance } from '@ephemera/domain';
import type { Containers, Instances, Kills, Why } from './ports.ts';

export interface KillPorts {
  readonly instances: Instances;
  readonly containers: Containers;
  readonly kills: Pick<Kills, 'disarm'>;
}

export type Killed =
  | { readonly kind: 'killed'; readonly instance: Instance }
  /** Its lease was renewed, or its deadline paused it: ask again in `remaining` ms. */
  | { readonly kind: 'leased'; readonly remaining: number }
  | { readonly kind: 'absent' };

/**
 * Ends an instance: no proxy sends anybody to it any more, then its container is stopped and
 * removed, then a tombstone is left. Every step may be run again, by anybody, at any time.
 */
export async function kill(
  { instances, containers, kills }: KillPorts,
  id: string,
  why: Why,
  message?: string,
): Promise<Killed> {
  const ending = await instances.end(id, why, message);
  if (ending.kind === 'leased') return ending;
  if (ending.kind === 'absent') return ending;
  if (ending.kind === 'paused') {
    await containers.pause(id);
    return { kind: 'leased', remaining: ending.remaining };
  }
  const { instance } = ending;
  await containers.removeInstance(id, instance.template.stopGrace);
  await instances.bury(id, instance.generation);
  // The job of a due instance is the one that runs now.
  if (why !== 'due') await kills.disarm(instance);
  return { kind: 'killed', instance };
}
