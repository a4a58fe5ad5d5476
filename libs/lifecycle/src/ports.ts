import type {
  EndReason,
  Instance,
  InstanceDraft,
  Lease,
  SeenContainer,
  StartStep,
} from '@ephemera/domain';

/** What became of an attempt to end an instance. */
export type DrainOutcome =
  /** It is draining now: nobody is sent to it any more. Asking again gives the same answer. */
  | { readonly kind: 'draining'; readonly instance: Instance }
  /**
   * Its lease runs on, so neither being overdue nor a failed start applies; it is due in
   * `remaining` ms at the earliest: one that starts may be ready at once, with its time to live.
   */
  | { readonly kind: 'leased'; readonly remaining: number }
  /** Its deadline pauses it, and has; it ends in `remaining` ms. */
  | { readonly kind: 'paused'; readonly remaining: number }
  /** There is nothing to end: it is dead already, or was never known. */
  | { readonly kind: 'absent' };

/**
 * Why to end: `due` where the deadline has passed, `surplus` where nobody has claimed it (the store
 * decides both), or a reason that stands.
 */
export type DrainReason = 'due' | 'surplus' | EndReason;

/** What an instance has from the moment that it is ready. */
export interface ReadyLease extends Lease {
  readonly startedAt: number;
}

/** The store of instances. Every change is one atomic step, judged by the store's own clock. */
export interface Instances {
  /** Writes the intent: a `pending` instance with its lease and its route. */
  create(draft: InstanceDraft): Promise<Instance>;
  /** The instance or what its tombstone still tells; undefined where the id was never known. */
  get(id: string): Promise<Instance | undefined>;
  /**
   * `pending → starting` on this host. Again on the same host gives the same answer, so a job
   * taken over from a dead worker goes on. Undefined: killed meanwhile, or serving already.
   * @throws HostCapacityError where this host has no room for it
   * @throws AssignedToOtherHostError where another host is at it
   */
  assignToHost(id: string, generation: number, host: string): Promise<Instance | undefined>;
  /**
   * `starting → ready`: the route appears and the TTL starts to count; one of a pool becomes `warm`
   * and has no route before it is claimed. Again with the same address
   * gives the same answer. Undefined where the generation was superseded: the caller then removes
   * what it started; and, where `host` is given, where another host has begun it since: a store
   * that was set back gives the same generation twice.
   */
  markReady(
    id: string,
    generation: number,
    address: string,
    host?: string,
  ): Promise<ReadyLease | undefined>;
  /** Any live state `→ draining`, under a new generation; `start_failed` only until it is ready. */
  startDraining(id: string, reason: DrainReason, message?: string): Promise<DrainOutcome>;
  /**
   * `draining → gone | failed`: leaves a tombstone that expires. Where a container may be `left`, it
   * outlives what that tells of the deadline: who finds the container finds it dead. False where
   * another has buried it.
   */
  finalize(id: string, generation: number, left?: 'left'): Promise<boolean>;
  /** Every live instance that a worker of this host has begun. */
  ofHost(host: string): Promise<Instance[]>;
  /** Live instances that no worker has begun and whose start deadline has passed, or whose end was begun. */
  unassignedOverdue(time: number): Promise<Instance[]>;
  /** Pending instances that were to be begun before `time`: their spawn job may never have been. */
  pendingWithoutHost(time: number): Promise<Pick<Instance, 'id' | 'generation'>[]>;
  /** Puts back an instance that the store has lost, from what its container's labels tell. */
  restore(instance: Instance): Promise<boolean>;
  /** The store's clock, epoch milliseconds. */
  now(): Promise<number>;
}

/** The delayed jobs that end instances. */
export interface KillJobs {
  /** Makes sure that a kill job for this generation exists, due in `delay` ms. */
  schedule(instance: Pick<Instance, 'id' | 'generation' | 'host'>, delay: number): Promise<void>;
  /** Takes away the kill job of the generation that this one supersedes, where it still waits. */
  cancel(instance: Pick<Instance, 'id' | 'supersedes' | 'host'>): Promise<void>;
  /** The kill jobs of a host that wait for their time. */
  listDelayed(host: string): Promise<readonly Pick<Instance, 'id' | 'generation'>[]>;
  /** Has the kill job of this generation run now, where it still waits for its time. */
  promote(instance: Pick<Instance, 'id' | 'generation' | 'host'>): Promise<void>;
}

/** Where a host is in the walk over its addresses: each is used again as late as possible. */
export interface Addresses {
  /** The next turn: how many addresses were given before it. */
  next(): Promise<number>;
}

/** Tells of a start as it goes on, for whoever waits. */
export interface Progress {
  /**
   * Notes a step. With `within` the start deadline is at least so many ms from now, below the
   * ceiling; it is never put forward. Gives the deadline; undefined where the generation was
   * superseded. An instance that serves is left as it is.
   */
  report(
    instance: Pick<Instance, 'id' | 'generation'>,
    step: StartStep,
    timeoutMs?: number,
  ): Promise<number | undefined>;
}

/** Tells of a step of a start; false where nobody wants the instance any more. */
export type ReportProgress = (step: StartStep, timeoutMs?: number) => Promise<boolean>;

export interface StartedContainer {
  readonly containerId: string;
  readonly address: string;
}

/** A start that will not succeed by trying again; the message is for people. */
export class ContainerStartError extends Error {
  override readonly name = 'ContainerStartError';
}

/** The Docker daemon, as far as a lifecycle needs it. */
export interface Containers {
  /**
   * Creates and starts the container of an instance. A name that is taken means that it was
   * done before: the container that is there is started and returned. An image that is not on
   * the host is pulled; undefined where nobody wanted the instance any more meanwhile.
   * @throws ContainerStartError where the daemon refuses for good (no such image, bad option)
   */
  start(
    instance: Instance,
    nextAddressIndex: () => Promise<number>,
    reportProgress: ReportProgress,
  ): Promise<StartedContainer | undefined>;
  /** Whether it still runs; `undefined` where it is gone. */
  inspect(
    containerId: string,
  ): Promise<{ running: boolean; exitCode: number; oomKilled: boolean } | undefined>;
  /** Ids of the containers of an instance that run on this host, frozen or not. */
  running(id: string): Promise<string[]>;
  /** The last lines that it wrote, for the message of a failed start. */
  lastLines(containerId: string, count: number): Promise<string>;
  /** Freezes every process of an instance; again, and of none, is success. */
  pauseContainer(id: string): Promise<void>;
  unpauseContainer(id: string): Promise<void>;
  /** Stops (with the grace, ms) and removes every container of an id; none is success. */
  removeInstance(id: string, stopGrace: number): Promise<void>;
  /** Removes one container at once; gone already is success. */
  remove(containerId: string): Promise<void>;
  /** All labelled containers of this host. */
  list(): Promise<SeenContainer[]>;
  /** Notes on the container of a pool that it was claimed, under which generation. */
  labelClaimed(containerId: string, instance: Pick<Instance, 'id' | 'generation'>): Promise<void>;
  /** The instance that a container's labels tell of, for a store that has lost it. */
  recoverInstance(containerId: string): Promise<Instance | undefined>;
}

/** Asks once whether an instance serves; bounded in time by itself. */
export type Probe = (instance: Instance, address: string) => Promise<boolean>;
