import type {
  EndReason,
  Instance,
  InstanceDraft,
  Lease,
  Limit,
  SeenContainer,
  StartStep,
  Template,
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

/** A host that has no room for an instance that it was to begin: another may, or it may later. */
export class HostCapacityError extends Error {
  override readonly name = 'HostCapacityError';
}

/** Another host has begun it, and its worker may have died: the job is for the workers there. */
export class AssignedToOtherHostError extends Error {
  override readonly name = 'AssignedToOtherHostError';
}

/** On whose account an instance is. */
export interface QuotaOwner {
  /** Such as `address:192.0.2.7`. */
  readonly name: string;
  /** What is said to have been reached. */
  readonly limit: Extract<Limit, 'address' | 'token'>;
  /** How many it may have at once; undefined: no bound. */
  readonly max: number | undefined;
}

/** A request that is answered once, however often it is sent. */
export interface Idempotency {
  /** Hash of the client's key and of who sent it. */
  readonly key: string;
  /** Hash of what was asked for. */
  readonly digest: string;
}

/** What may be used so many times, each for one instance: a signed link, or work that was done. */
export interface RedeemableGrant {
  readonly kind: 'link' | 'work';
  readonly name: string;
  readonly max: number;
  /** Epoch ms of the store's clock: until then its uses are counted. */
  readonly expiresAt: number;
}

/** What a request for an instance says beside the draft. */
export interface CreationContext {
  readonly quotaOwner?: QuotaOwner | undefined;
  readonly idempotency?: Idempotency | undefined;
  /** Used in the same step as an instance is got by them, and only then. */
  readonly grants?: readonly RedeemableGrant[] | undefined;
  /** An instance that was handed out for this request a moment ago and turned out to be dead. */
  readonly replacing?: string | undefined;
}

/** What a request for an instance meets. */
export type CreationRefusal =
  | { readonly kind: 'full'; readonly limit: Limit }
  /** A voucher was used as often as it may be. */
  | { readonly kind: 'exhausted'; readonly what: RedeemableGrant['kind'] }
  /** The same key came before: the instance of then, as far as it is still known. */
  | { readonly kind: 'repeated'; readonly id: string; readonly instance: Instance | undefined }
  /** The same key came before with another payload. */
  | { readonly kind: 'reused' };

export type CreateResult =
  | { readonly kind: 'created'; readonly instance: Instance }
  /** There was no room: it waits in the queue, and no worker is to be asked yet. */
  | { readonly kind: 'queued'; readonly instance: Instance }
  | CreationRefusal;

export type ClaimResult =
  | { readonly kind: 'claimed'; readonly instance: Instance }
  | { readonly kind: 'none' }
  | CreationRefusal;

/** Where requests for instances meet the limits. Each is one atomic step. */
export interface Intake {
  /** Writes the intent of an instance, where the template, the hosts and the owner have room. */
  createOrQueue(draft: InstanceDraft, context: CreationContext): Promise<CreateResult>;
  /** Hands out a warm instance of a pool: lease and route count from now. */
  claimWarm(
    pool: string,
    spec: Pick<InstanceDraft, 'timeout' | 'metadata' | 'accessHash'>,
    context: CreationContext,
  ): Promise<ClaimResult>;
  /** Writes the intent of one more instance of a pool, where it has fewer than `want`. */
  createWarm(draft: InstanceDraft, pool: string, desired: number): Promise<Instance | undefined>;
}

/** The queues before templates and hosts that are full. */
export interface StartQueue {
  /** The templates whose queue may hold somebody. */
  templates(): Promise<string[]>;
  /** Takes out the first where there is room for it; its start deadline counts from now. */
  dequeue(template: string): Promise<Pick<Instance, 'id' | 'generation'> | undefined>;
}

/** The jobs that bring instances up. */
export interface Spawns {
  /** `ahead`: for a pool; whoever waits already goes first. */
  add(instance: Pick<Instance, 'id' | 'generation'>, origin?: 'pool'): Promise<void>;
}

/** The jobs that finish what `end` began, on the host that has the container. */
export interface KillRequests {
  enqueueNow(instance: Pick<Instance, 'id' | 'generation' | 'supersedes' | 'host'>): Promise<void>;
}

/** A new deadline: so many ms from now, or a moment (epoch ms); sooner only with `shorten`. */
export type Renewal = { readonly shorten: boolean } & (
  { readonly timeout: number } | { readonly expiresAt: number }
);

export type Renewed =
  | { readonly kind: 'renewed'; readonly instance: Instance; readonly shortened: boolean }
  /** Not ready yet: there is no lease to renew. */
  | { readonly kind: 'starting' }
  /** Its end came first. */
  | { readonly kind: 'ended'; readonly instance: Instance }
  | { readonly kind: 'absent' };

export interface Leases {
  /** One atomic step, judged by the store's clock: a renewal or an end, never half of each. */
  renew(id: string, renewal: Renewal): Promise<Renewed>;
  /** Notes that instances were used. */
  touch(ids: readonly string[]): Promise<void>;
}

export type Resumed =
  /** `sooner`: its deadline has come nearer by it. */
  | { readonly kind: 'resumed'; readonly sooner: boolean; readonly instance: Instance }
  /** It is not paused, or its time is up. */
  | { readonly kind: 'refused' }
  | { readonly kind: 'absent' };

export interface Suspensions {
  /** `ready → paused`, route and all; again is the same. */
  pause(id: string): Promise<'paused' | 'refused' | 'absent'>;
  /** `paused → ready`; again is the same. */
  resume(id: string): Promise<Resumed>;
}

/** What is to be kept warm of one template. */
export interface PoolSpec {
  readonly template: Template;
  /** Where visitors reach an instance, with `{id}` for its id. */
  readonly urlPattern: string;
  /** Tells this content of the template from every other. */
  readonly fingerprint: string;
}

/** The pools of warm instances. */
export interface Pools {
  /** Replaces what is to be kept warm. */
  setPoolSpecs(specs: readonly PoolSpec[]): Promise<void>;
  listPoolSpecs(): Promise<PoolSpec[]>;
  /** Keeps at least `ready` of a template for `ms`, by one entry of its schedule. */
  setScheduledMinimum(template: string, entry: number, ready: number, ms: number): Promise<void>;
  /** How many a template is to have now. */
  desiredCount(template: Template): Promise<number>;
  /** Unclaimed instances of a pool, those that still start too. */
  count(fingerprint: string): Promise<number>;
  /** Some that may be claimed, oldest first; they may be claimed meanwhile. */
  unclaimed(fingerprint: string, max: number): Promise<string[]>;
  /** Every pool that has instances, those of earlier configurations too. */
  fingerprints(): Promise<string[]>;
}
