import type { Lease } from './lease.ts';
import type { EndReason, State } from './state.ts';
import type { StartStep } from './step.ts';
import type { Activity, Template } from './template.ts';

/** One container under one public id. Times are epoch milliseconds of the store's clock. */
export interface Instance extends Lease {
  readonly id: string;
  /** Stamped at creation and at every change of upstream; a write with a lower one is refused. */
  readonly generation: number;
  /** The generation that the present one took over from: its kill job is not needed any more. */
  readonly supersedes: number | undefined;
  /** The generation that it had in a pool before it was claimed. */
  readonly pooledAs?: number | undefined;
  /** The template as it was at creation: a later change of the configuration does not reach it. */
  readonly template: Template;
  readonly state: State;
  readonly reason: EndReason | undefined;
  /** For people: why it failed, what its start waits for. */
  readonly message: string | undefined;
  readonly lastTransitionAt: number;
  /** The Docker daemon that it runs on, once a worker there has taken it. */
  readonly host: string | undefined;
  /** Where the container answers, without a port. */
  readonly address: string | undefined;
  /** Time to live asked for, milliseconds from ready. */
  readonly timeout: number;
  readonly createdAt: number;
  readonly startedAt: number | undefined;
  /** When it was last used, as far as the proxies have told; undefined before it is ready. */
  readonly activeAt?: number | undefined;
  /** Where visitors reach it, absolute, ending in a slash. */
  readonly url: string;
  /** A secret between the container and whoever created it; only where the template asks for one. */
  readonly token?: string | undefined;
  /** Hash of the access token, which nobody keeps; only where the template guards its instances. */
  readonly accessHash?: string | undefined;
  readonly env: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, string>>;
  /** The pool that it waits in for its first visitor; gone from the moment that it is claimed. */
  readonly pool?: string | undefined;
  /** Whose account it is on: `token:ci`, `address:192.0.2.7`. */
  readonly owner?: string | undefined;
  /** Which run of the store knows that nobody has claimed it; only while it is warm. */
  readonly verifiedRunId?: string | undefined;
  /** Warm for a store whose last writes may be lost: somebody may have claimed it already. */
  readonly unverified?: boolean | undefined;
  /** Its template or the hosts are full: it has a place in the queue and no worker is asked yet. */
  readonly queued?: boolean | undefined;
}

/** What a creation says of an instance; the store adds the generation, the times and the state. */
export type InstanceDraft = Pick<
  Instance,
  'id' | 'template' | 'timeout' | 'url' | 'token' | 'accessHash' | 'env' | 'metadata'
>;

/** What a proxy needs to know of an id, and no more. */
export type Route = UnguardedRoute & Guard;

export interface Guard {
  /**
   * Hash of the access token that opens it, SHA-256 in base64url, in whatever state the instance
   * is; absent: it is open to all. A hash of nothing is one that no token has.
   */
  readonly access?: string | undefined;
}

type UnguardedRoute =
  | ({ readonly state: 'pending' | 'starting'; readonly generation: number } & Partial<
      Pick<StartStep, 'step' | 'done'>
    >)
  | Omit<ReadyRoute, keyof Guard>
  | {
      readonly state: 'paused';
      readonly generation: number;
      readonly expiresAt: number;
      /** What resumes it: the next request, or somebody who asks for just that. */
      readonly resume: 'request' | 'manual';
    }
  | {
      readonly state: 'draining' | 'gone' | 'failed';
      readonly generation: number;
      readonly reason: EndReason;
      readonly message?: string | undefined;
    };

export interface ReadyRoute extends Guard {
  readonly state: 'ready';
  readonly generation: number;
  readonly address: string;
  /** The container port that an address without a port reaches. */
  readonly port: number;
  /** Every container port that may be reached, by name. */
  readonly ports: Readonly<Record<string, number>>;
  /** Epoch milliseconds of the store's clock. */
  readonly expiresAt: number;
  readonly stripPrefix: boolean;
  /** What the proxies tell as use; absent where nothing ends it for being idle. */
  readonly activity?: Activity | undefined;
  readonly host: 'pass' | 'mask';
}
