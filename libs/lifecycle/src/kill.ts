import { dueAt } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import type { Containers, Instances, KillJobs, DrainReason } from './ports.ts';
import { pauseContainer } from './suspend.ts';

export interface KillPorts {
  readonly instances: Instances;
  readonly containers: Pick<Containers, 'removeInstance' | 'pauseContainer' | 'unpauseContainer'>;
  readonly killJobs: Pick<KillJobs, 'cancel'>;
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
  { instances, containers, killJobs, onKilled }: KillPorts,
  id: string,
  reason: DrainReason,
  message?: string,
): Promise<Killed> {
  const outcome = await instances.startDraining(id, reason, message);
  if (outcome.kind === 'leased') return outcome;
  if (outcome.kind === 'absent') return outcome;
  if (outcome.kind === 'paused') {
    const resumed = await pauseContainer({ containers, instances }, id);
    // Whoever resumed it could not arm this job anew while it runs.
    const remaining = resumed ? dueAt(resumed) - (await instances.now()) : outcome.remaining;
    return { kind: 'leased', remaining: Math.max(0, remaining) };
  }
  const { instance } = outcome;
  await containers.removeInstance(id, instance.template.stopGrace);
  // Before the tombstone, or a crash between the two would leave a job that nobody looks for; also
  // where it was due, for reconciliation has no job of its own. The job of its time in a pool may
  // have been left behind by a replica that died.
  await killJobs.cancel(instance);
  const { pooledAs } = instance;
  if (pooledAs !== undefined) await killJobs.cancel({ ...instance, supersedes: pooledAs });
  // Of two that end it at once, one has: it would be counted twice.
  const finalized = await instances.finalize(id, instance.generation);
  if (!finalized) return { kind: 'absent' };
  onKilled?.(instance);
  return { kind: 'killed', instance };
}
