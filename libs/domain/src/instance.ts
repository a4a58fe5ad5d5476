import type { Hint } from './hint.ts';
import type { Lease } from './lease.ts';
import type { PublishedPorts } from './reach.ts';
import type { EndReason, State, StartStep } from './state.ts';
import type { Activity, Template } from './template.ts';

/** One container under one public id. Times are epoch milliseconds of the store's clock. */
export interface Instance extends Lease {
  readonly id: string;
  /**
   * Assigned at creation and at every change of upstream. A write with a lower generation is
   * refused.
   */
  readonly generation: number;
  /** The previous generation, whose kill job is obsolete. */
  readonly supersedes: number | undefined;
  /** The generation of the instance in its pool, before it was claimed. */
  readonly pooledAs?: number | undefined;
  /** A copy of the template at creation. Later changes of the configuration do not affect it. */
  readonly template: Template;
  readonly state: State;
  readonly reason: EndReason | undefined;
  /** For people: why the start failed, or what it waits for. */
  readonly message: string | undefined;
  /** The probable cause of a failed start or an exit. */
  readonly hint?: Hint | undefined;
  readonly lastTransitionAt: number;
  /** The host it runs on. Set when a worker of that host takes the spawn job. */
  readonly host: string | undefined;
  /** Address of the container, without a port. */
  readonly address: string | undefined;
  /** Where proxies connect to, if its host publishes its ports. Absent: `address`. */
  readonly published?: PublishedPorts | undefined;
  /** Requested time to live, milliseconds from ready. */
  readonly timeout: number;
  readonly createdAt: number;
  readonly startedAt: number | undefined;
  /** Last use that the proxies have reported. Undefined before it is ready. */
  readonly activeAt?: number | undefined;
  /** Absolute URL for visitors, with a trailing slash. */
  readonly url: string;
  /** The landing path that its creation asked for, below `url`. Undefined: that of the template. */
  readonly path?: string | undefined;
  /** A secret that the container shares with its creator. Only if the template uses `{token}`. */
  readonly token?: string | undefined;
  /**
   * Hash of the access token; the token is not stored. Only if the template guards its instances.
   */
  readonly accessHash?: string | undefined;
  readonly env: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, string>>;
  /** The pool that it waits in. Unset once it is claimed. */
  readonly pool?: string | undefined;
  /** The quota that it counts against: `token:ci`, `address:192.0.2.7`, `owner:42`. */
  readonly owner?: string | undefined;
  /** The stable name that it was started for. */
  readonly name?: string | undefined;
  /**
   * The run ID of the Redis process in which it is known to be unclaimed. Only while it is warm.
   */
  readonly verifiedRunId?: string | undefined;
  /**
   * Warm in a Redis that may have lost its last writes, so a client may already have claimed it.
   */
  readonly unverified?: boolean | undefined;
  /**
   * It waits in the start queue, because its template or every host is full. It has no spawn job
   * yet.
   */
  readonly queued?: boolean | undefined;
  /**
   * Signature of the creator over what determines the container, with the end of its validity. Absent
   * if the creator has no signing key.
   */
  readonly signature?: string | undefined;
}

/** The path of the instance's URL, without a slash at the end. Empty in host form. */
export function basePathOf({ url }: Pick<Instance, 'url'>): string {
  return new URL(url).pathname.replace(/\/$/, '');
}

/** The part of an instance that the creator sets. The store adds generation, times and state. */
export type InstanceDraft = Pick<
  Instance,
  'id' | 'template' | 'timeout' | 'url' | 'path' | 'token' | 'accessHash' | 'env' | 'metadata'
>;

/** The part of an instance that a proxy needs. */
export type Route = UnguardedRoute & Guard;

export interface Guard {
  /**
   * Hash of the access token, SHA-256 in base64url. It applies in every state of the instance. If
   * absent, the instance is open to everyone. An empty hash matches no token.
   */
  readonly access?: string | undefined;
  /** Origins of sites that may frame the instance. Absent: the application decides. */
  readonly embed?: readonly string[] | undefined;
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
      /** What resumes it: the next request, or only a call of the API. */
      readonly resume: 'request' | 'manual';
    }
  | {
      readonly state: 'draining' | 'gone' | 'failed';
      readonly generation: number;
      readonly reason: EndReason;
      readonly message?: string | undefined;
    };

/** The route of a stable name, under `@NAME`: it leads to the route of an id. */
export interface NameRoute {
  readonly state: 'name';
  readonly generation: number;
  readonly id: string;
  /** Why that instance ended: its own route is forgotten before the name. */
  readonly ended?: EndReason | undefined;
  /** Whether a visit starts the name again once the instance has ended. */
  readonly startsOnVisit?: boolean | undefined;
}

export interface ReadyRoute extends Guard {
  readonly state: 'ready';
  readonly generation: number;
  /** The name of its template, for metrics and logs. A route of an earlier version has none. */
  readonly template?: string | undefined;
  /** The host that it runs on. Its address is valid only there. */
  readonly host: string;
  readonly address: string;
  /** Where proxies connect to, if the host publishes the ports of its instances. */
  readonly published?: PublishedPorts | undefined;
  /** The container port of a URL that names no port. */
  readonly port: number;
  /** Every container port that clients may reach, by name. */
  readonly ports: Readonly<Record<string, number>>;
  /** Epoch milliseconds of the store's clock. */
  readonly expiresAt: number;
  readonly stripPrefix: boolean;
  /** What the proxies report as use. Absent if the instance has no idle timeout. */
  readonly activity?: Activity | undefined;
  /** The Host header that the instance receives: the visitor's, or its own address. */
  readonly hostHeader: 'pass' | 'mask';
  /** Whether the instance receives what a login proxy says about the visitor. Absent: false. */
  readonly forwardIdentity?: boolean | undefined;
  /** Whether responses have `Ephemera-Expires-At`. Absent: false. */
  readonly expiresHeader?: boolean | undefined;
}
