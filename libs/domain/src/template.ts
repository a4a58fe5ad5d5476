/** How a worker detects that an instance is ready. */
export type Readiness = ReadinessProbe & {
  /** Time from the start of the container until the start fails. */
  readonly within: number;
  /** Timeout of one attempt. Undefined: 2 s. */
  readonly timeout?: number | undefined;
};

type ReadinessProbe =
  /**
   * A response with a status below 500, or a port that accepts twice without sending HTTP within
   * 1 s.
   */
  | { readonly kind: 'auto'; readonly host?: string | undefined }
  /** The port accepts a connection. */
  | { readonly kind: 'tcp' }
  | {
      readonly kind: 'http';
      /** With the placeholder `{basePath}`. */
      readonly path: string;
      /** Accepted status codes, inclusive ranges. */
      readonly status: readonly (readonly [from: number, to: number])[];
      /** The `Host` header. Undefined: the host that a visitor's request carries. */
      readonly host?: string | undefined;
    };

/**
 * What resets the idle timeout: an open request or tunnel (`connections`), bytes that a client sent
 * (`client-bytes`), or completed requests with a status below 300 (`requests`).
 */
export type Activity = 'connections' | 'client-bytes' | 'requests';

/**
 * Who can reach an instance: every client that knows its id, every client with the access token, or
 * only the client that started it. An `owner` never sees the token in a browser.
 */
export type Access = 'public' | 'token' | 'owner';

/**
 * Who can run commands in an instance: nobody, tokens of scope `admin`, or also the token of scope
 * `exec` that started it.
 */
export type ExecPermission = 'off' | 'admin' | 'owner';

/** Whether clients need an access token to reach instances of this template. */
export function isGuarded({ access }: Pick<Template, 'access'>): boolean {
  return access === 'token' || access === 'owner';
}

/** Resource limits of a container. */
export interface Limits {
  /** Bytes of memory; swap is disabled. */
  readonly memory: number;
  /** CPU cores; may be a fraction. */
  readonly cpus: number;
  /** Processes and threads. */
  readonly pids: number;
}

/** Minimum and maximum values for a template. The maximum of memory depends on the host. */
export const LIMIT_RANGES = { cpus: [0.01, 512], pids: [1, 1_000_000] } as const;

/** Names that a template may write in braces in `entrypoint`, `command`, `env` and `open`. */
export type Placeholder = 'id' | 'port' | 'basePath' | 'url' | 'token';

/** `${id}` belongs to the shell of the container; `{{id}}` is the text `{id}`. */
const PLACEHOLDER =
  /\$\{\w*\}|\{\{(?<literal>id|port|basePath|url|token)\}\}|\{(?<name>id|port|basePath|url|token)\}/g;

/**
 * Replaces `{id}`, `{port}`, `{basePath}`, `{url}` and `{token}` in a text of a template.
 * `{{id}}` writes `{id}`. `${id}` and all other braces are unchanged.
 */
export function fillPlaceholders(
  text: string,
  values: Readonly<Record<Placeholder, string>>,
): string {
  return text.replace(PLACEHOLDER, (found: string, ...groups) => {
    const { literal, name } = groups.at(-1) as { literal?: string; name?: Placeholder };
    if (name !== undefined) return values[name];
    return literal === undefined ? found : `{${literal}}`;
  });
}

/** Whether a template uses `{token}`, the secret of the instance. */
export function usesTokenPlaceholder({
  entrypoint = [],
  command = [],
  env,
}: Pick<Template, 'entrypoint' | 'command' | 'env'>): boolean {
  return usesPlaceholder([...entrypoint, ...command, ...Object.values(env)], 'token');
}

/** Whether any of the texts has this placeholder. */
export function usesPlaceholder(texts: readonly string[], name: Placeholder): boolean {
  return texts.some((text) =>
    Array.from(text.matchAll(PLACEHOLDER)).some(({ groups }) => groups?.['name'] === name),
  );
}

/**
 * Where the defaults of the security options come from. `strict`: an unprivileged user, a read-only
 * root, no capabilities. `docker`: the user of the image, a writable root, and the capabilities of
 * Docker without NET_RAW.
 */
export type Profile = 'strict' | 'docker';

/** Capabilities of each profile. `docker`: those that Docker keeps by default, without NET_RAW. */
export const PROFILE_CAPABILITIES: Readonly<Record<Profile, readonly string[]>> = {
  strict: [],
  docker: [
    'AUDIT_WRITE',
    'CHOWN',
    'DAC_OVERRIDE',
    'FOWNER',
    'FSETID',
    'KILL',
    'MKNOD',
    'NET_BIND_SERVICE',
    'SETFCAP',
    'SETGID',
    'SETPCAP',
    'SETUID',
    'SYS_CHROOT',
  ],
};

/** A file system in memory. */
export interface Tmpfs {
  /** Bytes. */
  readonly size: number;
  /** Whether files on it may be executed. */
  readonly exec: boolean;
}

/** What visitors may do with the instances that they started. */
export interface VisitorRights {
  /** A renewal moves the deadline to this long from now, ms. Undefined: they may not renew. */
  readonly renew?: number | undefined;
  readonly end: boolean;
  /** Whether responses of an instance have `Ephemera-Expires-At`. */
  readonly expiresHeader: boolean;
}

/** What an instance runs, and its limits. Durations are milliseconds, sizes bytes. */
export interface Template {
  readonly name: string;
  /** What visitors see in place of the name. Undefined: they see no name. */
  readonly title?: string | undefined;
  /** What it is, for visitors and for clients of the API. */
  readonly description?: string | undefined;
  /** The landing path of its instances, with placeholders. Undefined: `/`. */
  readonly open?: string | undefined;
  readonly image: string;
  /** The container port of a URL that names no port. */
  readonly port: number;
  /** Every container port that clients may reach, by name. */
  readonly ports: Readonly<Record<string, number>>;
  /** Time to live, counted from ready. */
  readonly timeout: number;
  /** Maximum lifetime, counted from creation. */
  readonly maxTimeout: number;
  /** Time without use after which it ends. Undefined: no idle timeout. */
  readonly idleTimeout?: number | undefined;
  /** What counts as use. */
  readonly activity: Activity;
  readonly ready: Readiness;
  /** Time between SIGTERM and SIGKILL when the container is stopped. */
  readonly stopGrace: number;
  readonly limits: Limits;
  /** Replaces the entrypoint of the image. An empty list removes it. */
  readonly entrypoint?: readonly string[] | undefined;
  readonly command: readonly string[] | undefined;
  readonly env: Readonly<Record<string, string>>;
  /** Variables that a creation may set: names, and patterns such as `APP_*`. Undefined: none. */
  readonly envAllow?: readonly string[] | undefined;
  /** Whether a creation may replace values of `env`. Undefined: false. */
  readonly envOverride?: boolean | undefined;
  /** Patterns of the images that a creation may name in place of `image`. Undefined: none. */
  readonly imageAllow?: readonly string[] | undefined;
  /** Whether the creation of the instance has named `image`. Never set in the configuration. */
  readonly isImageNamed?: boolean | undefined;
  /**
   * What a visit to a stable name does once its instance has ended: it gets 410, or starts another
   * instance. Undefined: `gone`.
   */
  readonly onVisit?: 'gone' | 'start' | undefined;
  /** Labels that are added to those of Ephemera. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Undefined: the user that the image sets. */
  readonly user: string | undefined;
  readonly readOnly: boolean;
  /** By container path. */
  readonly tmpfs: Readonly<Record<string, Tmpfs>>;
  /** Bytes of `/dev/shm`. Undefined: the daemon's default, 64 MiB. */
  readonly shmSize?: number | undefined;
  /** Whether Docker's init is process 1. Undefined: true. */
  readonly init?: boolean | undefined;
  /** Undefined: the working directory of the image. */
  readonly workingDir?: string | undefined;
  /** Undefined: the id of the container. */
  readonly hostname?: string | undefined;
  /** Undefined: `strict`. */
  readonly profile?: Profile | undefined;
  /** Capabilities that are added after all have been dropped. */
  readonly capAdd: readonly string[];
  /** Whether the container may open outbound connections. */
  readonly egress: boolean;
  /** Whether it may run on a host where the firewall could not be set up. */
  readonly trusted?: boolean | undefined;
  /** The Docker runtime, such as `runsc`. Undefined: the daemon's default. */
  readonly runtime?: string | undefined;
  /**
   * `unconfined`, or the absolute path of a profile on the worker. Undefined: the daemon's default.
   */
  readonly seccomp?: string | undefined;
  /** An AppArmor profile that is loaded on the host. Undefined: the daemon's default. */
  readonly apparmor?: string | undefined;
  /** `remapped` requires a daemon with user namespace remapping. `host` disables the remapping. */
  readonly userns?: 'remapped' | 'host' | undefined;
  /** Whether the proxy removes the path prefix before it forwards a request. */
  readonly stripPrefix: boolean;
  /**
   * The `Host` header that the container receives: the visitor's, or its own address. With its own
   * address, the visitor's origin in `Origin` and `Referer` is replaced too.
   */
  readonly host: 'pass' | 'mask';
  /** Whether the container receives the visitor's identity and tokens. Undefined: false. */
  readonly forwardIdentity?: boolean | undefined;
  /**
   * Time before the deadline at which `expiring` is emitted. Undefined: a tenth of the TTL, at most
   * 60 s.
   */
  readonly notice?: number | undefined;
  /** What a visitor needs to start an instance. Undefined: `open`. */
  readonly create?: 'open' | 'token' | 'link' | undefined;
  /** Leading zero bits of the hash that a visitor must find before a start. */
  readonly proofOfWork?: number | undefined;
  /** Who can reach an instance. Undefined: `public`. */
  readonly access?: Access | undefined;
  /** Whether the gallery lists it, so that visitors learn its name. Undefined: false. */
  readonly gallery?: boolean | undefined;
  /** Undefined: nothing. */
  readonly visitor?: VisitorRights | undefined;
  /** Who can run commands in an instance. Undefined: `off`. */
  readonly exec?: ExecPermission | undefined;
  /** Origins of sites that may frame its instances. Undefined: the application decides. */
  readonly embed?: readonly string[] | undefined;
  /**
   * What happens at the deadline. A paused instance is killed at its maximum lifetime. Undefined:
   * `kill`.
   */
  readonly onTimeout?: 'kill' | 'pause' | undefined;
  /** What resumes a paused instance. Undefined: `manual`. */
  readonly resume?: 'request' | 'manual' | undefined;
  /** Maximum number of live instances. Undefined: limited only by the hosts. */
  readonly maxInstances?: number | undefined;
  /** What happens to a start beyond the capacity. */
  readonly whenFull: 'queue' | 'refuse';
  /** Maximum length of the start queue. */
  readonly maxQueued: number;
  /** Maximum time in the start queue. */
  readonly queueTimeout: number;
  /** Number of warm instances to keep. */
  readonly pool: number;
  /** Maximum age of a warm instance. An older one is replaced. */
  readonly poolMaxAge: number;
  /** Times at which the pool is larger. */
  readonly schedule: readonly PoolSchedule[];
}

/** The field of a template that requires signing keys; undefined if it has none. */
export function fieldThatNeedsKeys({
  proofOfWork = 0,
  access = 'public',
  visitor,
}: Pick<Template, 'proofOfWork' | 'access' | 'visitor'>): string | undefined {
  if (proofOfWork > 0) return 'proofOfWork';
  // The visitor of a guarded instance has its access token.
  const isPublic = access === 'public';
  if (isPublic && visitor?.renew !== undefined) return 'visitor.renew';
  return isPublic && visitor?.end === true ? 'visitor.end' : undefined;
}

/** A larger pool for a limited time. */
export interface PoolSchedule {
  /** Start of the period: minute, hour, day of the month, month, day of the week. */
  readonly cron: string;
  /** Number of warm instances during the period. */
  readonly ready: number;
  /** Length of the period. */
  readonly for: number;
  /** IANA time zone. */
  readonly tz: string;
}
