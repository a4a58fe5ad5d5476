// The ports of all use cases, and what each call promises. Times are epoch milliseconds of the
// store's clock; durations are milliseconds.

import type {
  EndReason,
  Hint,
  Instance,
  InstanceDraft,
  Lease,
  Limit,
  PublishedPorts,
  SeenContainer,
  StartStep,
  Template,
} from '@ephemera/domain';

/** The result of an attempt to end an instance. */
export type DrainOutcome =
  /** It is draining: no proxy routes to it. A repeated call returns the same. */
  | { readonly kind: 'draining'; readonly instance: Instance }
  /**
   * Its lease has not ended, so the reason `due` or `start_failed` does not apply. It is due in
   * `remaining` ms at the earliest.
   */
  | { readonly kind: 'leased'; readonly remaining: number }
  /** Its template pauses it at the deadline. It ends in `remaining` ms. */
  | { readonly kind: 'paused'; readonly remaining: number }
  /** It is dead, or the id is unknown. */
  | { readonly kind: 'absent' };

/**
 * `due`: end it if its deadline has passed. `surplus`: end it if it is warm and unclaimed. The
 * store decides both atomically. `early_exit`: a failed start, although it has become ready. Any
 * other reason ends it unconditionally.
 */
export type DrainReason = 'due' | 'surplus' | 'early_exit' | EndReason;

/** The lease of an instance that has become ready. */
export interface ReadyLease extends Lease {
  readonly startedAt: number;
  /**
   * The instance that its name led to before; or itself, if the name was removed or is that of a later
   * creation. It ends in `remaining` ms.
   */
  readonly replaced?:
    | (Pick<Instance, 'id' | 'generation'> & {
        readonly host: string;
        readonly remaining: number;
      })
    | undefined;
}

/** The store of instances. Every change is one atomic step by the store's clock. */
export interface Instances {
  /** Writes the intent: a `pending` instance with its lease and its route. */
  create(draft: InstanceDraft): Promise<Instance>;
  /** The instance or its tombstone. Undefined if the id is unknown. */
  get(id: string): Promise<Instance | undefined>;
  /**
   * `pending → starting` on this host. Idempotent for the same host, so that a job taken over from
   * a dead worker continues. Undefined if it was killed or superseded, or is queued or already
   * serving.
   * @throws HostCapacityError if this host has no capacity for it
   * @throws AssignedToOtherHostError if another host has started it
   */
  assignToHost(id: string, generation: number, host: string): Promise<Instance | undefined>;
  /**
   * `starting → ready`: the route appears and the TTL starts. A pool instance becomes `warm` and
   * gets no route until it is claimed. The name that it was started for leads to it. Idempotent for the same address. Undefined if the generation
   * was superseded, or if a host other than `host` has started it (a store that lost writes may
   * assign a generation twice). The caller then removes its container.
   */
  markReady(
    id: string,
    generation: number,
    address: string,
    host?: string,
    published?: PublishedPorts,
  ): Promise<ReadyLease | undefined>;
  /** Any live state `→ draining`, under a new generation; `start_failed` only before it is ready. */
  startDraining(
    id: string,
    reason: DrainReason,
    message?: string,
    hint?: Hint,
  ): Promise<DrainOutcome>;
  /**
   * `draining → gone | failed`: leaves a tombstone that expires. With `left`, a container may still
   * exist. The tombstone then outlives the deadline on the container's labels, so that
   * reconciliation removes the container. False if another call has finalized it.
   */
  finalize(id: string, generation: number, left?: 'left'): Promise<boolean>;
  /**
   * Every live instance that a worker of this host has started. An instance of `known` may be returned
   * as it is there if its generation, state, deadline and last transition are the same.
   */
  ofHost(host: string, known?: ReadonlyMap<string, Instance>): Promise<Instance[]>;
  /** Live instances without a host whose start deadline is before `time`, or that are draining. */
  unassignedOverdue(time: number): Promise<Instance[]>;
  /** Pending, unqueued instances older than `time`: their spawn job may be missing. */
  pendingWithoutHost(time: number): Promise<Pick<Instance, 'id' | 'generation'>[]>;
  /** Restores an instance that the store has lost, from its container's labels. False: it is known. */
  restore(instance: Instance): Promise<boolean>;
  /** The store's clock, epoch milliseconds. */
  now(): Promise<number>;
}

/** The delayed jobs that end instances. */
export interface KillJobs {
  /** Adds the kill job of this generation, due in `delay` ms, unless it exists. */
  schedule(instance: Pick<Instance, 'id' | 'generation' | 'host'>, delay: number): Promise<void>;
  /** Removes the kill job of the superseded generation, if it is delayed. */
  cancel(instance: Pick<Instance, 'id' | 'supersedes' | 'host'>): Promise<void>;
  /** The delayed kill jobs of a host. */
  listDelayed(host: string): Promise<readonly Pick<Instance, 'id' | 'generation'>[]>;
}

/** The address sequence of a host: an address is reused as late as possible. */
export interface Addresses {
  /** The next index of the sequence. */
  next(): Promise<number>;
}

/** Reports the progress of a start to waiting clients. */
export interface Progress {
  /**
   * Records a step. With `timeoutMs`, the start deadline is moved to at least that far from now, up
   * to the maximum lifetime; it never becomes earlier. Returns the deadline, or undefined if the
   * generation was superseded. A serving instance is unchanged.
   */
  report(
    instance: Pick<Instance, 'id' | 'generation'>,
    step: StartStep,
    timeoutMs?: number,
  ): Promise<number | undefined>;
}

/** Reports a step of a start. False: the instance was superseded, so the start must stop. */
export type ReportProgress = (step: StartStep, timeoutMs?: number) => Promise<boolean>;

export interface StartedContainer {
  readonly containerId: string;
  readonly address: string;
  /** The ports of the host that lead to it, if its host publishes ports. */
  readonly published?: PublishedPorts | undefined;
}

/** A start that a retry cannot fix. The message is shown to users. */
export class ContainerStartError extends Error {
  override readonly name = 'ContainerStartError';
  readonly hint: Hint | undefined;
  constructor(message: string, hint?: Hint) {
    super(message);
    this.hint = hint;
  }
}

/** The calls on the Docker daemon that the use cases need. */
export interface Containers {
  /**
   * Creates and starts the container of an instance. If the name is taken (409), an earlier run
   * created the container; it is started and returned. A missing image is pulled. Undefined if the
   * instance was superseded.
   * @throws ContainerStartError if the daemon refuses permanently (no such image, invalid option)
   */
  start(
    instance: Instance,
    nextAddressIndex: () => Promise<number>,
    reportProgress: ReportProgress,
  ): Promise<StartedContainer | undefined>;
  /** The state of a container. Undefined if it does not exist. */
  inspect(
    containerId: string,
  ): Promise<{ running: boolean; exitCode: number; oomKilled: boolean } | undefined>;
  /** Ids of the running containers of an instance on this host, including paused ones. */
  running(id: string): Promise<string[]>;
  /** The last lines of its log, for the message of a failed start. */
  lastLines(containerId: string, count: number): Promise<string>;
  /** Pauses the containers of an instance. Idempotent; succeeds if there is none. */
  pauseContainer(id: string): Promise<void>;
  unpauseContainer(id: string): Promise<void>;
  /** Stops (grace in ms) and removes every container of an id. Succeeds if there is none. */
  removeInstance(id: string, stopGrace: number): Promise<void>;
  /** Removes one container by force. Succeeds if it does not exist. */
  remove(containerId: string): Promise<void>;
  /** All labelled containers of this host. */
  list(): Promise<SeenContainer[]>;
  /** Records on a pool container that it was claimed, and the generation of the claim. */
  labelClaimed(containerId: string, instance: Pick<Instance, 'id' | 'generation'>): Promise<void>;
  /** The instance that a container's labels describe, for a store that has lost it. */
  recoverInstance(containerId: string): Promise<Instance | undefined>;
}

export type ProbeResult =
  | { readonly ready: true }
  /**
   * `finding`: one sentence for the failure message: what was asked and what came back. It has no
   * address of the container.
   */
  | {
      readonly ready: false;
      readonly finding: string;
      /** Whether the port refused the connection. */
      readonly refused?: boolean;
    };

/**
 * Checks once whether an instance is ready. An attempt takes at most the timeout of its template,
 * and at most about `maxMs`.
 */
export type Probe = (instance: Instance, address: string, maxMs: number) => Promise<ProbeResult>;

/**
 * The host has no capacity for an instance now. Another host may have capacity, or this one later.
 */
export class HostCapacityError extends Error {
  override readonly name = 'HostCapacityError';
}

/** Another host has started the instance: the job belongs to the workers of that host. */
export class AssignedToOtherHostError extends Error {
  override readonly name = 'AssignedToOtherHostError';
}

/** The owner whose quota an instance counts against. */
export interface QuotaOwner {
  /** `address:192.0.2.7`, `token:ci` or `owner:42`. */
  readonly name: string;
  /** The limit that is reported when the quota is reached. */
  readonly limit: Extract<Limit, 'address' | 'token' | 'owner'>;
  /** Maximum of live instances; undefined: unlimited. */
  readonly max: number | undefined;
}

/** Identifies repeats of one request. A repeat gets the first answer. */
export interface Idempotency {
  /** Hash of the idempotency key and the client. */
  readonly key: string;
  /** Hash of the payload. */
  readonly digest: string;
  /** Random text of the first request, which its repeats get. Undefined: they get none. */
  readonly salt?: string | undefined;
}

/** A signed link or a proof of work, valid for `max` instances. */
export interface RedeemableGrant {
  readonly kind: 'link' | 'work';
  readonly name: string;
  readonly max: number;
  /** Time until which its uses are counted. */
  readonly expiresAt: number;
}

/** The stable name that an instance is started for, and the condition of the start. */
export interface NameRequest {
  readonly name: string;
  /** The generation that the name must have, or `*` for any. Undefined: no condition. */
  readonly match?: string | undefined;
  /** Whether the name must not exist. */
  readonly isNew?: boolean | undefined;
  /** The owner that the name must have if it exists. Undefined: no condition. */
  readonly owner?: string | undefined;
  /** The owner of the name if it does not exist. */
  readonly newOwner: string;
  /** How long the instance that the name leads to still serves once the new one is ready. */
  readonly drain: number;
  /** How long the name is remembered. */
  readonly ttl: number;
  /** What a visit starts once the instance has ended, as the creator wrote it. Undefined: nothing. */
  readonly restart?: string | undefined;
  /**
   * Whether a visit starts it. Then `drain`, `ttl` and `restart` of the name stay as they are, and the
   * start is refused while an instance of the name lives, and after MAX_NAME_CRASHES crashes in a row.
   */
  readonly isVisit?: boolean | undefined;
}

/** The data of a creation that is not part of the draft. */
export interface CreationContext {
  readonly quotaOwner?: QuotaOwner | undefined;
  readonly idempotency?: Idempotency | undefined;
  /** Redeemed in the same step that creates or claims the instance. */
  readonly grants?: readonly RedeemableGrant[] | undefined;
  /** A UUID of this one call, so that the call can be withdrawn if its reply is lost. Default: random. */
  readonly attempt?: string | undefined;
  /** Only for `createOrQueue`. */
  readonly name?: NameRequest | undefined;
}

/**
 * What is withdrawn: an instance, or what the call with this UUID has got, where the reply was lost.
 * `id`: of the draft, for a creation; undefined for a claim.
 */
export type Withdrawable =
  | Pick<Instance, 'id' | 'generation' | 'createdAt'>
  | { readonly attempt: string; readonly id: string | undefined };

/** Why: the store cannot confirm the instance, or it was claimed and does not answer. */
export type WithdrawalReason = 'unconfirmed' | 'unreachable';

/** The store was unavailable before the call was sent to it: the call changed nothing. */
export class NotSentError extends Error {
  override readonly name = 'NotSentError';
}

/** Why a creation was refused. `repeated` returns the instance of an earlier request. */
export type CreationRefusal =
  | { readonly kind: 'full'; readonly limit: Limit }
  /** A grant has no uses left. */
  | { readonly kind: 'exhausted'; readonly what: RedeemableGrant['kind'] }
  /** The idempotency key was used before: the instance of the first request, if it is still known. */
  | {
      readonly kind: 'repeated';
      readonly id: string;
      readonly instance: Instance | undefined;
      /** The salt of the first request. */
      readonly salt?: string | undefined;
    }
  /** The idempotency key was used before with another payload. */
  | { readonly kind: 'reused' }
  /** Another token owns the name. */
  | { readonly kind: 'foreign' }
  /** The instances of the name have crashed too often in a row: this one last. */
  | { readonly kind: 'crashing'; readonly id: string; readonly reason: EndReason }
  /** The name has this generation, which the condition does not allow. Undefined: no such name. */
  | { readonly kind: 'unmatched'; readonly generation: number | undefined };

interface Created {
  readonly instance: Instance;
  /** An instance that was starting for the same name, and does not get it any more. */
  readonly superseded?: string | undefined;
}

export type CreateResult =
  | ({ readonly kind: 'created' } & Created)
  /** There is no capacity: it waits in the start queue, and has no spawn job yet. */
  | ({ readonly kind: 'queued' } & Created)
  | CreationRefusal;

export type ClaimResult =
  | { readonly kind: 'claimed'; readonly instance: Instance }
  | { readonly kind: 'none' }
  | CreationRefusal;

/** Creates and claims instances within the limits. Each call is one atomic step. */
export interface Intake {
  /**
   * Writes the intent of an instance if template, hosts and quota have capacity.
   * @throws NotSentError if the store is unavailable; after another error the instance may exist
   */
  createOrQueue(draft: InstanceDraft, context: CreationContext): Promise<CreateResult>;
  /**
   * Claims a warm instance of a pool. Its lease starts now.
   * @throws NotSentError if the store is unavailable; after another error it may be claimed
   */
  claimWarm(
    pool: string,
    spec: Pick<InstanceDraft, 'timeout' | 'metadata' | 'accessHash' | 'path'>,
    context: CreationContext,
  ): Promise<ClaimResult>;
  /**
   * Resolves when the store will not lose this generation of an instance, nor what was written before
   * this call, by a failover. Called before a client learns of the instance.
   * @throws ApiError store_unavailable if that is not certain
   */
  confirm(instance: Pick<Instance, 'id' | 'generation'>): Promise<void>;
  /**
   * Ends an instance that is not handed out, `→ draining`. Releases in the same step, once, what its
   * creation or claim has used: one use of each grant, the idempotency key, and its place in the quota;
   * also if another call has ended the instance. `absent` if it has ended, or is not of this generation:
   * then nothing changes. An attempt that is withdrawn before it runs gets nothing any more.
   */
  withdraw(
    withdrawn: Withdrawable,
    used: Pick<CreationContext, 'grants' | 'idempotency'>,
    reason: WithdrawalReason,
  ): Promise<DrainOutcome>;
  /** How many instances a grant has started. */
  redeemed(grant: string): Promise<number>;
  /** Writes the intent of one more pool instance if the pool has fewer than `desired`. */
  createWarm(draft: InstanceDraft, pool: string, desired: number): Promise<Instance | undefined>;
}

/** The start queues of templates: instances that wait for capacity. */
export interface StartQueue {
  /** The templates whose queue may not be empty. */
  templates(): Promise<string[]>;
  /**
   * Removes and returns the first instance if there is capacity. Its start deadline counts from
   * now.
   */
  dequeue(template: string): Promise<Pick<Instance, 'id' | 'generation'> | undefined>;
}

/** The spawn jobs. */
export interface Spawns {
  /** `pool`: a lower priority than instances that a client is waiting for. */
  add(instance: Pick<Instance, 'id' | 'generation'>, origin?: 'pool'): Promise<void>;
}

/** Kill jobs that run now, on the host that has the container. */
export interface KillRequests {
  enqueueNow(instance: Pick<Instance, 'id' | 'generation' | 'supersedes' | 'host'>): Promise<void>;
}

/** A new deadline: `timeout` ms from now, or `expiresAt`. An earlier deadline needs `shorten`. */
export type Renewal = { readonly shorten: boolean } & (
  { readonly timeout: number } | { readonly expiresAt: number }
);

export type Renewed =
  /** `previousExpiresAt`: the deadline before. It may be the present one. */
  | { readonly kind: 'renewed'; readonly instance: Instance; readonly previousExpiresAt: number }
  /** The new deadline would be earlier, and the renewal has no `shorten`. Nothing changed. */
  | { readonly kind: 'earlier'; readonly instance: Instance }
  /** Not ready yet: it has no lease to renew. */
  | { readonly kind: 'starting' }
  /** It has ended, or its deadline has passed. */
  | { readonly kind: 'ended'; readonly instance: Instance }
  | { readonly kind: 'absent' };

/** Changes of leases. */
export interface Leases {
  /** One atomic step by the store's clock: a renewal and an end never both succeed. */
  renew(id: string, renewal: Renewal): Promise<Renewed>;
  /** Records that instances were used. */
  touch(ids: readonly string[]): Promise<void>;
}

export type Resumed =
  /** `sooner`: its deadline is earlier than before. */
  | { readonly kind: 'resumed'; readonly sooner: boolean; readonly instance: Instance }
  /** It is not paused, or its deadline has passed. */
  | { readonly kind: 'refused' }
  | { readonly kind: 'absent' };

export interface Suspensions {
  /** `ready → paused`, with the route. Idempotent. */
  pause(id: string): Promise<'paused' | 'refused' | 'absent'>;
  /** `paused → ready`, with the route. Idempotent. */
  resume(id: string): Promise<Resumed>;
}

/** The pool that a template configures. */
export interface PoolSpec {
  readonly template: Template;
  /** URL of an instance, with `{id}` for its id. */
  readonly urlPattern: string;
  /** Hash of the template's content. Containers with the same fingerprint are interchangeable. */
  readonly fingerprint: string;
}

/** The pools of warm instances. */
export interface Pools {
  /** Replaces all pool specs. */
  setPoolSpecs(specs: readonly PoolSpec[]): Promise<void>;
  listPoolSpecs(): Promise<PoolSpec[]>;
  /** Sets the minimum of a template for `ms`, for one entry of its schedule. */
  setScheduledMinimum(template: string, entry: number, ready: number, ms: number): Promise<void>;
  /** The current target size of a template's pool. */
  desiredCount(template: Template): Promise<number>;
  /** Number of unclaimed instances of a pool, including starting ones. */
  count(fingerprint: string): Promise<number>;
  /**
   * Up to `max` claimable instances, oldest first. A client may claim one before the caller acts.
   */
  unclaimed(fingerprint: string, max: number): Promise<string[]>;
  /**
   * Every pool that has instances, including pools of earlier configurations, but without those whose
   * spec is refused because no key has signed it.
   */
  fingerprints(): Promise<string[]>;
}
