import type { Instance, InstanceDraft, Limit } from '@ephemera/domain';

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
