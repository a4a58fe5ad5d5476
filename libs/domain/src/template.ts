/** How a worker finds out that an instance serves. */
export type Readiness =
  | { readonly kind: 'tcp'; readonly within: number }
  | {
      readonly kind: 'http';
      readonly path: string;
      /** Accepted status codes, inclusive ranges. */
      readonly status: readonly (readonly [from: number, to: number])[];
      readonly within: number;
    };

/**
 * What keeps an instance from being idle: an open request or tunnel (`connections`), bytes that a
 * client sent (`client-bytes`), or finished requests that were answered below 300 (`requests`).
 */
export type Activity = 'connections' | 'client-bytes' | 'requests';

/**
 * Who may enter an instance: everybody who knows its id, who has its access token, or only whoever
 * started it, who is never shown the token in a browser.
 */
export type Access = 'public' | 'token' | 'owner';

/** Whether instances of a template open only to who has an access token. */
export function isGuarded({ access }: Pick<Template, 'access'>): boolean {
  return access === 'token' || access === 'owner';
}

/** What a container may use at most. */
export interface Limits {
  /** Bytes of memory; there is no swap on top. */
  readonly memory: number;
  /** CPUs, fractions allowed. */
  readonly cpus: number;
  /** Processes and threads. */
  readonly pids: number;
}

/** The least and the most that a template may ask for; of memory, a host sets the most. */
export const LIMIT_RANGES = { cpus: [0.01, 512], pids: [1, 1_000_000] } as const;

/** Whether a template fills in a token of the instance's own. */
export function usesTokenPlaceholder({
  command = [],
  env,
}: Pick<Template, 'command' | 'env'>): boolean {
  return [...command, ...Object.values(env)].some((text) => text.includes('{token}'));
}

/** What may be started. Durations are milliseconds, sizes bytes. */
export interface Template {
  readonly name: string;
  readonly image: string;
  /** The container port that an address without a port reaches. */
  readonly port: number;
  /** Every container port that may be reached, by name. */
  readonly ports: Readonly<Record<string, number>>;
  /** Time to live, counted from ready. */
  readonly timeout: number;
  /** Ceiling of the whole life, counted from creation. */
  readonly maxTimeout: number;
  /** Ends before its time when it was not used for so long; undefined: never. */
  readonly idleTimeout?: number | undefined;
  /** What counts as use. */
  readonly activity: Activity;
  readonly ready: Readiness;
  /** How long a container may take to stop before it is killed. */
  readonly stopGrace: number;
  readonly limits: Limits;
  readonly command: readonly string[] | undefined;
  readonly env: Readonly<Record<string, string>>;
  /** Labels that the container gets beside Ephemera's own. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Undefined: as whom the image says. */
  readonly user: string | undefined;
  readonly readOnly: boolean;
  /** Path in the container to size in bytes. */
  readonly tmpfs: Readonly<Record<string, number>>;
  /** Capabilities given back after all have been dropped. */
  readonly capAdd: readonly string[];
  /** Whether the container may open connections outwards. */
  readonly egress: boolean;
  /** Whether it may run where the firewall could not be set. */
  readonly trusted?: boolean | undefined;
  /** The runtime of the daemon that runs it, `runsc` say; the daemon's own choice if unset. */
  readonly runtime?: string | undefined;
  /** `unconfined`, or the absolute path of a profile on the worker; the daemon's own if unset. */
  readonly seccomp?: string | undefined;
  /** An AppArmor profile that the host has loaded; the daemon's own if unset. */
  readonly apparmor?: string | undefined;
  /** `remapped`: only where the daemon maps root to nobody; `host`: not even there. */
  readonly userns?: 'remapped' | 'host' | undefined;
  /** Whether the path prefix is taken off towards the container. */
  readonly stripPrefix: boolean;
  /** Which `Host` header the container sees: the visitor's, or its own address. */
  readonly host: 'pass' | 'mask';
  /** How long ahead of its deadline `expiring` is told; a tenth of the TTL, at most 60 s, if unset. */
  readonly notice?: number | undefined;
  /** Which visitors may start one; `open` where unset. */
  readonly create?: 'open' | 'token' | 'link' | undefined;
  /** Zero bits that a visitor finds a hash with before one is started. */
  readonly proofOfWork?: number | undefined;
  /** Who may enter an instance; `public` where unset. */
  readonly access?: Access | undefined;
  /** What its deadline does to it; a paused one is killed at the ceiling. `kill` where unset. */
  readonly onTimeout?: 'kill' | 'pause' | undefined;
  /** What resumes a paused one; `manual` where unset. */
  readonly resume?: 'request' | 'manual' | undefined;
  /** How many may live at once; undefined: as many as the hosts hold. */
  readonly maxInstances?: number | undefined;
  /** What becomes of a request for one more than there is room for. */
  readonly whenFull: 'queue' | 'refuse';
  /** How many may wait in the queue. */
  readonly maxQueued: number;
  /** How long one may wait there. */
  readonly queueTimeout: number;
  /** How many are kept started ahead of their visitors. */
  readonly pool: number;
  /** How long a warm one waits for its visitor before another takes its place. */
  readonly poolMaxAge: number;
  /** Times at which more of them are kept. */
  readonly schedule: readonly PoolSchedule[];
}

/** More warm instances for a while. */
export interface PoolSchedule {
  /** When filling begins: minute, hour, day of the month, month, day of the week. */
  readonly cron: string;
  /** How many are then kept ready. */
  readonly ready: number;
  /** For how long. */
  readonly for: number;
  /** IANA time zone. */
  readonly tz: string;
}
