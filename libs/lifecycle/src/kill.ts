import { dueAt, isServing } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import type {
  Containers,
  DrainOutcome,
  DrainReason,
  Instances,
  KillJobs,
  KillRequests,
} from './ports.ts';
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

export interface RequestKillPorts {
  readonly instances: Pick<Instances, 'startDraining' | 'finalize'>;
  readonly killRequests: KillRequests;
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

export interface ExitPorts extends KillPorts {
  readonly containers: KillPorts['containers'] & Pick<Containers, 'inspect' | 'running'>;
  /** The host whose daemon told of the exit. */
  readonly host: string;
}

/**
 * A container has ended: its instance ends with it, where it was the container of that instance. A
 * second one under its id, made for a store that had lost the first, ends beside it and is no news;
 * nor is one that ends because its instance is being killed.
 */
export async function endExitedInstance(
  ports: ExitPorts,
  { id, containerId }: { readonly id: string; readonly containerId: string },
): Promise<Killed> {
  const { instances, containers, host } = ports;
  const instance = await instances.get(id);
  if (!instance || !isServing(instance.state) || instance.host !== host) return { kind: 'absent' };
  const seen = await containers.inspect(containerId);
  if (seen?.running) return { kind: 'absent' };
  // The daemon tells of an exit before it lists it.
  const others = (await containers.running(id)).filter((text) => text !== containerId);
  if (others.length > 0) return { kind: 'absent' };
  const reason = seen?.oomKilled ? 'oom' : 'exited';
  return kill(ports, id, reason, exitMessage(seen));
}

/** What is told of a container that ended by itself. */
export function exitMessage(
  exit: { readonly oomKilled: boolean; readonly exitCode: number | undefined } | undefined,
): string {
  if (exit?.oomKilled) return 'The container ran out of memory.';
  return `The container exited with code ${exit?.exitCode ?? '?'}.`;
}
