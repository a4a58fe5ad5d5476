import {
  ConfigError,
  domainName,
  issuesOf,
  readTemplates,
  requireFile,
  watchConfig,
  type ConfigIssue,
  type TemplateSet,
  type TemplatesInput,
  type WatchedConfig,
} from '@ephemera/config';
import { HOST_ID, parseSize, redisUrlIssue } from '@ephemera/domain';
import { parseTrustedProxies } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import { THEMES } from '@ephemera/proxy';
import { z } from 'zod';

const WHAT = 'The options of createEphemera';

const pem = z.string().optional();

const tls = z.strictObject({ ca: pem, cert: pem, key: pem });

const redisUrl = z.string().superRefine((url, context) => {
  const issue = redisUrlIssue(url);
  if (issue !== undefined) context.addIssue({ code: 'custom', message: issue });
});
const redis = z
  .union(
    [
      redisUrl,
      z.strictObject({
        url: redisUrl,
        tls: tls.optional(),
        /** The user of the sentinels, and `tls` if they use TLS. */
        sentinel: z
          .strictObject({
            username: z.string().optional(),
            password: z.string().optional(),
            tls: tls.optional(),
          })
          .optional(),
      }),
    ],
    'must be an address, or {url, tls, sentinel}',
  )
  .transform((input) => (typeof input === 'string' ? { url: input } : input));

const wholeNumber = (min: number, max: number) =>
  z
    .int('must be a whole number')
    .min(min, `must be at least ${min}`)
    .max(max, `must be at most ${max}`);

/** Settings of the worker in this process. */
const workerOptions = z.strictObject({
  /** Id of this host, one per Docker daemon. Default: derived from what the daemon reports. */
  hostId: z
    .string()
    .regex(HOST_ID, 'must be lowercase letters, digits and hyphens, at most 63')
    .optional(),
  /** As `EPHEMERA_FIREWALL`. */
  firewall: z.enum(['auto', 'required', 'off']).prefault('auto'),
  /** As `EPHEMERA_FIREWALL_IMAGE`, for a process without root. */
  firewallImage: z.string().optional(),
  /** IPv4 /16 ranges for the networks of instances. Default: free ranges of 10.231.0.0/16 and up. */
  subnets: z.array(z.cidrv4('must be IPv4 ranges such as 10.231.0.0/16')).optional(),
  /** Resolvers of instances with `egress: true`. */
  egressDns: z.array(z.ipv4('must be IPv4 addresses')).prefault(['1.1.1.1', '8.8.8.8']),
  /** Maximum number of instances on this host. */
  maxInstances: wholeNumber(1, 1_000_000).prefault(1000),
  /** Sum of the memory limits of all instances, such as `24g`. Default: 80 % of the memory. */
  maxMemory: z
    .string()
    .refine((text) => parseSize(text) !== undefined, 'must be a size such as 24g')
    .transform((text) => parseSize(text))
    .optional(),
});

const schema = z.strictObject({
  redis: redis.prefault('redis://127.0.0.1:6379/0'),
  docker: z.string().min(1, 'must be unix:///path or tcp://host:port').optional(),
  worker: z.union([z.boolean(), workerOptions], 'must be true, false or settings').optional(),
  // The reader of the configuration file checks these.
  templates: z.unknown().optional(),
  default: z.unknown().optional(),
  limits: z.unknown().optional(),
  allow: z.unknown().optional(),
  images: z.unknown().optional(),
  publicUrl: z
    .url({
      protocol: /^https?$/,
      error: 'must be the http:// or https:// address of the application',
    })
    .transform((url) => {
      const { origin, pathname } = new URL(url);
      return (origin + pathname).replace(/\/+$/, '');
    }),
  prefix: z
    .string()
    .regex(
      /^[a-z][a-z0-9-]{0,30}$/,
      'must be lowercase letters, digits and hyphens, without slashes',
    )
    .prefault('demo'),
  namespace: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,30}$/, 'must be lowercase letters, digits and hyphens, at most 31')
    .prefault('ephemera'),
  domain: domainName.optional(),
  trustedProxies: z.array(z.string()).prefault([]),
  connectionsPerAddress: wholeNumber(1, 50_000).prefault(2_000),
  signingKeys: z
    .array(z.string().min(32, 'each key must have at least 32 characters'))
    .prefault([]),
  theme: z.enum(THEMES).prefault('calm'),
  logLevel: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).prefault('warn'),
});

/** The templates, and what limits them: the same fields as in `ephemera.yml`. */
export interface TemplateOptions extends Omit<TemplatesInput, 'templates'> {
  /**
   * Templates by name, or the path of the `ephemera.yml` of the replicas, which is watched. `pool` and
   * `schedule` need the file: a pool belongs to the deployment, not to one process.
   */
  readonly templates: TemplatesInput['templates'] | string;
}

/** Settings of the worker that `createEphemera` starts. */
export type WorkerOptions = z.input<typeof workerOptions>;

/** What `createEphemera` takes. */
export interface EphemeraOptions extends TemplateOptions {
  /**
   * How visitors reach the application, such as `https://app.example.org`. All processes that serve
   * the same instances need the same value.
   */
  readonly publicUrl: string;
  /**
   * The Redis of the deployment, such as `redis://127.0.0.1:6379/0`, the default. With Sentinel:
   * `redis-sentinel://HOST,HOST/MASTER/0`. TLS material is PEM text.
   */
  readonly redis?: string | z.input<typeof redis>;
  /** Address of the Docker daemon. Default: `unix:///var/run/docker.sock`. */
  readonly docker?: string;
  /**
   * Whether this process starts and ends the containers of its Docker daemon, or the settings for
   * that. Default: only if `docker` is given. Without a worker here, one must run elsewhere.
   */
  readonly worker?: boolean | WorkerOptions;
  /** The path at which the application mounts it, without slashes. Default: `demo`. */
  readonly prefix?: string;
  /** Prefix of Redis keys, containers and networks. The same in all processes. Default: `ephemera`. */
  readonly namespace?: string;
  /** Serves each instance on its own origin, `{id}.DOMAIN`, with the port if visitors need one. */
  readonly domain?: string;
  /** Load balancers whose `X-Forwarded-*` headers are trusted: addresses or CIDR ranges. */
  readonly trustedProxies?: readonly string[];
  /** Connections of one IPv4 address or IPv6 /64 to the server of the application. Default: 2000. */
  readonly connectionsPerAddress?: number;
  /** Keys of the deployment; the first signs. Needed if its workers have keys. */
  readonly signingKeys?: readonly string[];
  /** Theme of the waiting page. Default: `calm`. */
  readonly theme?: (typeof THEMES)[number];
  /** Lowest level that is logged, as JSON on standard output. Default: `warn`. */
  readonly logLevel?: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';
}

export type Settings = Omit<z.output<typeof schema>, 'templates' | 'worker' | 'domain'> & {
  readonly domain: string | undefined;
  readonly worker: z.output<typeof workerOptions> | undefined;
};

/** The templates of a process: those of a file, or those of the options, which never change. */
export type Templates = Pick<WatchedConfig<TemplateSet>, 'current' | 'onChange' | 'close'> & {
  /** Whether they are those of the deployment's file. */
  readonly isFile: boolean;
};

/**
 * Checks all options before anything starts.
 * @throws ConfigError with every error and its dotted path
 */
export function readOptions(options: EphemeraOptions): {
  readonly settings: Settings;
  /** Opens the file with the templates, if there is one. @throws ConfigError if it is invalid */
  readonly openTemplates: (logger: Logger, use: (set: TemplateSet) => void) => Templates;
} {
  const issues: ConfigIssue[] = [];
  const parsed = schema.safeParse(options);
  if (!parsed.success) issues.push(...issuesOf(parsed.error, () => 'unknown option'));
  issues.push(...trustedProxyIssues(options.trustedProxies));
  const set = collect(issues, () => templatesOf(options));
  if (!parsed.success || issues.length > 0) throw new ConfigError(WHAT, issues);
  const { worker = parsed.data.docker !== undefined, domain, ...rest } = parsed.data;
  const ofWorker =
    worker === true ? workerOptions.parse({}) : worker === false ? undefined : worker;
  const path = options.templates;
  return {
    settings: { ...rest, domain, worker: ofWorker },
    openTemplates(logger, use) {
      if (typeof path !== 'string') {
        if (!set) throw new Error('unreachable: the options were checked');
        use(set);
        return { current: set, onChange: () => undefined, close: () => undefined, isFile: false };
      }
      const file = watchConfig(path, logger, (found) => {
        const current = requireFile(path, found);
        use(current);
        return current;
      });
      return {
        get current() {
          return file.current;
        },
        onChange: (listener) => file.onChange(listener),
        close: () => file.close(),
        isFile: true,
      };
    },
  };
}

/** @throws ConfigError */
function templatesOf(options: EphemeraOptions): TemplateSet | undefined {
  const { templates, default: defaultName, limits, allow, images } = options;
  const others = { default: defaultName, limits, allow, images };
  if (typeof templates === 'string') {
    const given = Object.entries(others).filter(([, value]) => value !== undefined);
    if (given.length === 0) return undefined;
    const detail = 'belongs into the file that templates names';
    throw new ConfigError(
      WHAT,
      given.map(([path]) => ({ path, detail })),
    );
  }
  const set = readTemplates({ templates, ...others }, WHAT);
  const pooled = [...set.templates.values()].filter(
    ({ pool, schedule }) => pool > 0 || schedule.length > 0,
  );
  if (pooled.length === 0) return set;
  const detail =
    'a pool belongs to the deployment; set it in the ephemera.yml of the replicas and give the path of that file as templates';
  throw new ConfigError(
    WHAT,
    pooled.map(({ name, pool }) => ({
      path: `templates.${name}.${pool > 0 ? 'pool' : 'schedule'}`,
      detail,
    })),
  );
}

function trustedProxyIssues(entries: EphemeraOptions['trustedProxies']): ConfigIssue[] {
  if (!Array.isArray(entries)) return [];
  return entries.flatMap((entry: unknown, index) => {
    try {
      parseTrustedProxies([String(entry)]);
      return [];
    } catch (error) {
      return [{ path: `trustedProxies.${index}`, detail: (error as Error).message }];
    }
  });
}

/** Runs a check, and adds its issues to those of the others. */
function collect<T>(issues: ConfigIssue[], check: () => T): T | undefined {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    issues.push(...error.faults);
    return undefined;
  }
}
