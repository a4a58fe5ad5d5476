import { dueAt, EARLY_EXIT_MS, isServing } from '@ephemera/domain';
import type { Hint, Instance } from '@ephemera/domain';
import { exitMessage, reportExit } from './exit-report.ts';
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
  readonly instances: Pick<Instances, 'startDraining' | 'finalize' | 'get' | 'now'>;
  readonly containers: Pick<Containers, 'removeInstance' | 'pauseContainer' | 'unpauseContainer'>;
  readonly killJobs: Pick<KillJobs, 'cancel'>;
  readonly onKilled?: OnKilled | undefined;
}

/** Called once for every dead instance, by the run that wrote its tombstone. */
export type OnKilled = (instance: Instance) => void;

export type Killed =
  /** This run wrote its tombstone. */
  | { readonly kind: 'killed'; readonly instance: Instance }
  /** Its lease has not ended, or its deadline paused it. Read the lease again in `remaining` ms. */
  | { readonly kind: 'leased'; readonly remaining: number }
  /** It was dead or unknown, or another run wrote its tombstone. */
  | { readonly kind: 'absent' };

/**
 * Ends an instance: removes the route, stops and removes the container, then writes the tombstone.
 * Every step is idempotent, and two runs may overlap.
 */
export async function kill(
  { instances, containers, killJobs, onKilled }: KillPorts,
  id: string,
  reason: DrainReason,
  message?: string,
  hint?: Hint,
): Promise<Killed> {
  const outcome = await instances.startDraining(id, reason, message, hint);
  if (outcome.kind === 'leased') return outcome;
  if (outcome.kind === 'absent') return outcome;
  if (outcome.kind === 'paused') {
    const resumed = await pauseContainer({ containers, instances }, id);
    // A resume cannot schedule this kill job again while the job runs.
    const remaining = resumed ? dueAt(resumed) - (await instances.now()) : outcome.remaining;
    return { kind: 'leased', remaining: Math.max(0, remaining) };
  }
  const { instance } = outcome;
  await containers.removeInstance(id, instance.template.stopGrace);
  // Cancel before the tombstone: a crash in between would leave a job until the next reconciliation. A
  // proxy that died during a claim may have left the kill job of the pool generation.
  await killJobs.cancel(instance);
  const { pooledAs } = instance;
  if (pooledAs !== undefined) await killJobs.cancel({ ...instance, supersedes: pooledAs });
  // Of two concurrent runs, one finalizes it, so it is counted once.
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
 * Ends an instance from a process without access to a Docker daemon. The route is removed
 * immediately, and a worker of the host removes the container. An instance without a host has no
 * container and is finalized here.
 */
export async function requestKill(
  { instances, killRequests }: RequestKillPorts,
  id: string,
  reason: 'request' | 'surplus' | 'host_drained' | 'replaced' = 'request',
): Promise<DrainOutcome> {
  const outcome = await instances.startDraining(id, reason);
  if (outcome.kind !== 'draining') return outcome;
  const { instance } = outcome;
  if (instance.host === undefined) await instances.finalize(id, instance.generation);
  else await killRequests.enqueueNow(instance);
  return outcome;
}

export interface ExitPorts extends KillPorts {
  readonly containers: KillPorts['containers'] &
    Pick<Containers, 'inspect' | 'running' | 'lastLines'>;
  /** The host whose daemon reported the exit. */
  readonly host: string;
}

/**
 * Handles the exit of a container: ends its instance with reason `exited` or `oom`, or as a failed
 * start if it exits soon after it has become ready. Does nothing if
 * the instance is being killed, or if another container of the same id still runs (a store that
 * lost writes may have started a second one).
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
  // The daemon reports an exit before its list shows it.
  const others = (await containers.running(id)).filter((other) => other !== containerId);
  if (others.length > 0) return { kind: 'absent' };
  const { startedAt, template } = instance;
  const isEarly =
    startedAt !== undefined &&
    seen !== undefined &&
    (await instances.now()) - startedAt < EARLY_EXIT_MS;
  const { message, hint } = await reportExit(containers, containerId, seen, template);
  if (isEarly) return kill(ports, id, 'early_exit', message, hint);
  // Everybody who has the id receives the message of an ended instance; the log stays in the archive.
  return kill(ports, id, seen?.oomKilled ? 'oom' : 'exited', exitMessage(seen), hint);
}
