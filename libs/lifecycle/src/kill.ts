import { dueAt } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import type { Containers, Instances, Kills, Why } from './ports.ts';
import { freeze } from './suspend.ts';

export interface KillPorts {
  readonly instances: Instances;
  readonly containers: Pick<Containers, 'removeInstance' | 'pause' | 'unpause'>;
  readonly kills: Pick<Kills, 'disarm'>;
  readonly onKilled?: OnKilled | undefined;
}

/** Told of every instance that is dead now, once, by whoever has buried it. */
export type OnKilled = (instance: Instance) => void;

export type Killed =
  /** It is dead, and this run has buried it. */
  | { readonly kind: 'killed'; readonly instance: Instance }
  /** Its lease was renewed, or its deadline paused it: ask again in `remaining` ms. */
  | { readonly kind: 'leased'; readonly remaining: number }
  /** It was dead, or another run has buried it meanwhile. */
  | { readonly kind: 'absent' };

/**
 * Ends an instance: no proxy sends anybody to it any more, then its container is stopped and
 * removed, then a tombstone is left. Every step may be run again, by anybody, at any time.
 */
export async function kill(
  { instances, containers, kills, onKilled }: KillPorts,
  id: string,
  why: Why,
  message?: string,
): Promise<Killed> {
  const ending = await instances.end(id, why, message);
  if (ending.kind === 'leased') return ending;
  if (ending.kind === 'absent') return ending;
  if (ending.kind === 'paused') {
    const resumed = await freeze({ containers, instances }, id);
    // Whoever resumed it could not arm this job anew while it runs.
    const remaining = resumed ? dueAt(resumed) - (await instances.now()) : ending.remaining;
    return { kind: 'leased', remaining: Math.max(0, remaining) };
  }
  const { instance } = ending;
  await containers.removeInstance(id, instance.template.stopGrace);
  // Before the tombstone, or a crash between the two would leave a job that nobody looks for; also
  // where it was due, for reconciliation has no job of its own. The job of its time in a pool may
  // have been left behind by a replica that died.
  await kills.disarm(instance);
  const { pooledAs } = instance;
  if (pooledAs !== undefined) await kills.disarm({ ...instance, supersedes: pooledAs });
  // Of two that end it at once, one has: it would be counted twice.
  const buried = await instances.bury(id, instance.generation);
  if (!buried) return { kind: 'absent' };
  onKilled?.(instance);
  return { kind: 'killed', instance };
}
