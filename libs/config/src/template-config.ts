import { readFileSync } from 'node:fs';
import {
  LIMIT_RANGES,
  openIssue,
  policyViolations,
  usesPlaceholder,
  usesTokenPlaceholder,
} from '@ephemera/domain';
import type { Policy, Readiness, Template, Tmpfs } from '@ephemera/domain';
import { z } from 'zod';
import { accessFields } from './access-config.ts';
import { capacityFields, quotasSchema } from './capacity-config.ts';
import type { Quotas } from './capacity-config.ts';
import { imagePattern, isolationFields, policyOf, policySchema } from './isolation-config.ts';
import { durationText as duration, positiveDuration, sizeText as size } from './config-values.ts';
import { ConfigError, issuesOf } from './environment.ts';
import { registriesSchema } from './registry-config.ts';
import { requestedEnvFields } from './requested-env-config.ts';
import { type TokenEntries, tokensSchema } from './tokens/token-config.ts';
import { galleryIssue, onVisitIssue, visitorFields } from './visitor-config.ts';
import { webhooksSchema } from './webhook-config.ts';
import type { WebhookEntries } from './webhook-config.ts';
import { readYaml } from './yaml-text.ts';

const portNumber = z
  .int({ error: 'must be a port number' })
  .min(1, 'must be a port from 1 to 65535')
  .max(65535, 'must be a port from 1 to 65535');
const name = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,40}$/, 'names are lowercase letters, digits and hyphens, at most 41');
const variable = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is not a valid variable name');

/** Set in every container, whatever the template says. */
const OWN_VARIABLES = ['EPHEMERA_ID', 'EPHEMERA_PORT', 'EPHEMERA_BASE_PATH', 'EPHEMERA_URL'];

/** The kernel would cut arguments and variables at a NUL character. */
const withoutNul = z
  .string()
  .refine((text) => !text.includes('\0'), 'must not contain a NUL character');

const label = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/, 'is not a valid label key')
  .refine((key) => !key.startsWith('ephemera.'), 'keys with the prefix ephemera. are reserved');

const statusRanges = z.union([z.string(), z.int()]).transform((input, context) => {
  const ranges: [number, number][] = [];
  for (const part of String(input).split(',')) {
    const match = /^\s*([1-5]\d\d)(?:-([1-5]\d\d))?\s*$/.exec(part);
    if (!match) {
      context.addIssue({
        code: 'custom',
        message: `"${part}" is not a status such as 200 or 200-399`,
      });
      return z.NEVER;
    }
    const [from, to] = [Number(match[1]), Number(match[2] ?? match[1])];
    if (from > to) {
      context.addIssue({ code: 'custom', message: `"${part}" begins above its end` });
      return z.NEVER;
    }
    ranges.push([from, to]);
  }
  return ranges;
});

const DEFAULT_READY_TIMEOUT_MS = '30s';

/** nobody:nogroup. Without a group, Docker would use the group of root. */
const NOBODY = '65534:65534';
/** What an image may do to a template of each profile, unless the template says otherwise. */
const PROFILE_DEFAULTS = {
  strict: { user: NOBODY, readOnly: true },
  docker: { user: 'image', readOnly: false },
} as const;
/** The value of `user` that keeps the user of the image. */
const USER_OF_IMAGE = 'image';
/** Size of `/tmp` if the root file system is read-only. Its content counts as memory. */
const TMP_SIZE = 64 * 1024 ** 2;

/** Value of a `Host` header: a host name or an address, with an optional port. */
const hostHeader = z
  .string()
  .regex(
    /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/,
    'must be a host such as app.example or app.example:8080',
  );

const probePath = z
  .string()
  .regex(/^(?:\{basePath\})?\//, 'must be a path that starts with / or {basePath}/')
  .regex(/^[!-~]*$/, 'must not contain spaces or characters outside ASCII; encode them with %');

const ready = z
  .union(
    [
      z.literal(['auto', 'tcp']),
      z
        .strictObject({
          tcp: z.literal(true).optional(),
          http: probePath.optional(),
          status: statusRanges.optional(),
          host: hostHeader.optional(),
          within: positiveDuration.prefault(DEFAULT_READY_TIMEOUT_MS),
          timeout: positiveDuration.optional(),
        })
        .refine(({ tcp, http }) => tcp === undefined || http === undefined, {
          path: ['tcp'],
          error: 'give either tcp or http',
        })
        .refine(({ http, status }) => http !== undefined || status === undefined, {
          path: ['status'],
          error: 'needs http, the path that is asked',
        })
        .refine(({ tcp, host }) => tcp === undefined || host === undefined, {
          path: ['host'],
          error: 'has no effect with tcp',
        }),
    ],
    'must be auto, tcp, {within, timeout, host}, {tcp: true, within, timeout} or {http: /path, status, host, within, timeout}',
  )
  .prefault('auto')
  .transform((input): Readiness => {
    if (typeof input === 'string') return { kind: input, within: 30_000 };
    const { tcp, http: path, status = [[200, 399]], host, ...times } = input;
    if (tcp) return { kind: 'tcp', ...times };
    if (path === undefined) return { kind: 'auto', host, ...times };
    return { kind: 'http', path, status, host, ...times };
  });

// Control characters are listed in patterns: validators of JSON Schema need not know `\p{Cc}`.

/** An absolute path in a container without a `.` or `..` segment. */
const containerPath = z
  .string()
  .regex(
    /^(?!.*\/\.{1,2}(?:\/|$))\/[^\u0000-\u001f\u007f-\u009f,]*$/u,
    'must be an absolute path without "..", such as /data',
  );

/**
 * A path where a tmpfs can be. Docker refuses the root; a container does not start without its devices
 * and /proc, and /sys is the kernel's.
 */
const tmpfsPath = containerPath
  .refine((path) => !/^\/+$/.test(path), 'the root cannot be a tmpfs; use readOnly: false')
  .refine(
    (path) => !/^\/+(?:proc|sys)(?:\/|$)|^\/+dev\/*$/.test(path),
    '/dev, /proc and /sys are of the kernel, and cannot be a tmpfs',
  );

/** One line of text that is shown to people. */
const visibleText = (max: number) =>
  z
    .string()
    .max(max, `must have at most ${max} characters`)
    .regex(/^(?=.*\S)[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$/u, 'must be one line of text');

const landingPath = z.string().superRefine((text, context) => {
  const message = openIssue(text);
  if (message !== undefined) context.addIssue({ code: 'custom', message });
});

/** `32m`, or `{size: 32m, exec: true}`. */
const tmpfs = z.union(
  [
    size.transform((bytes): Tmpfs => ({ size: bytes, exec: false })),
    z.strictObject({ size, exec: z.boolean().prefault(false) }),
  ],
  'must be a size such as 32m, or {size: 32m, exec: true}',
);

const [MIN_CPUS, MAX_CPUS] = LIMIT_RANGES.cpus;
const [MIN_PIDS, MAX_PIDS] = LIMIT_RANGES.pids;

const limits = z
  .strictObject({
    memory: size.refine((bytes) => bytes >= 6 * 1024 ** 2, 'must be at least 6m').prefault('256m'),
    cpus: z.number().min(MIN_CPUS, `must be at least ${MIN_CPUS}`).max(MAX_CPUS).prefault(0.5),
    pids: z.int().min(MIN_PIDS, `must be at least ${MIN_PIDS}`).max(MAX_PIDS).prefault(128),
  })
  .prefault({});

const NOT_USER = 'must be image, a user, or user:group, such as 1000:1000';

/** `1000` without quotes is a number in YAML. */
const user = z.union(
  [
    z.string().regex(/^[^\s:\0]+(?::[^\s:\0]+)?$/, NOT_USER),
    z
      .int()
      .min(0)
      .max(2 ** 32 - 2)
      .transform(String),
  ],
  NOT_USER,
);

/** One template of the file. Every optional field has a default. */
export const templateSchema = z
  .strictObject({
    image: z
      .string()
      .regex(/^[^\s\0]+$/, 'must name an image, without spaces')
      .describe('Docker image. Pulled if the host does not have it.'),
    imageAllow: z
      .array(imagePattern)
      .min(1, 'must have at least one pattern')
      .max(100, 'must have at most 100 patterns')
      .optional()
      .describe(
        'Patterns of the images that a request of the control API may name in `image`, such as `[ghcr.io/acme/app:*]`, compared as those of `images.allow`, which hold too. Such an instance is never a warm one. All other fields of the template apply to it. Default: none.',
      ),
    title: visibleText(80)
      .optional()
      .describe(
        'What visitors see in place of the name, at most 80 characters. Default: they see no name.',
      ),
    description: visibleText(500)
      .optional()
      .describe(
        'What the template is, in at most 500 characters, for the page with the start button and the list of templates in the API.',
      ),
    port: portNumber
      .optional()
      .describe('Port that the container listens on. Set either `port` or `ports`.'),
    ports: z
      .record(name, portNumber)
      .optional()
      .describe(
        'Several ports by name, such as `{web: 80, api: 8000}`. The first is the main port.',
      ),
    timeout: positiveDuration
      .prefault('30m')
      .describe('Time to live (TTL), counted from the moment the instance is ready.'),
    maxTimeout: positiveDuration
      .optional()
      .describe(
        'Maximum lifetime, counted from creation. No renewal passes it. Default: `timeout` plus `ready.within`.',
      ),
    idleTimeout: positiveDuration
      .optional()
      .describe(
        'Ends the instance when it has not been used for this long. Default: no idle timeout.',
      ),
    activity: z
      .enum(['connections', 'client-bytes', 'requests'])
      .prefault('connections')
      .describe(
        'What counts as use for `idleTimeout`. `connections`: open requests and WebSockets. `client-bytes`: bytes that clients send. `requests`: responses with a status below 300.',
      ),
    ready: ready.describe(
      'Readiness probe of the main port. `auto`: GET answers with any status below 500, or the port accepts connections without sending HTTP within 1 s and does not close them at once. `tcp`: the port accepts a connection. `{http: /path, status: 200-399}`: GET on the path answers with one of these statuses; with `stripPrefix: false`, the path is below the base path of the instance, unless it begins with `{basePath}`. Each object may have `within` (the start fails after it, default `30s`) and `timeout` (of one attempt, default `2s`), those with GET also `host` (the `Host` header, default: that of a visitor). `{within: 2m}` and `{tcp: true, within: 2m}` change only the times.',
    ),
    stopGrace: duration
      .prefault('5s')
      .describe('Time between the stop signal and SIGKILL when the container is stopped.'),
    limits: limits.describe(
      'Resource limits. `memory`: RAM without swap (default `256m`). `cpus`: CPU share (default 0.5). `pids`: processes and threads (default 128).',
    ),
    entrypoint: z
      .array(withoutNul)
      .optional()
      .describe(
        'Replaces the entrypoint of the image; `[]` removes it. The placeholders are those of `command`. As in Docker, another entrypoint also removes the command of the image; `[]` keeps it.',
      ),
    command: z
      .array(withoutNul)
      .min(1)
      .optional()
      .describe(
        'Replaces the command of the image. The placeholders `{id}`, `{port}`, `{basePath}`, `{url}` and `{token}` are substituted. `{{id}}` writes `{id}`; `${id}` and all other braces are unchanged.',
      ),
    env: z
      .record(
        variable.refine(
          (key) => !OWN_VARIABLES.includes(key),
          'is set by Ephemera; an application that needs another name can take {id}, {port}, {basePath} or {url}',
        ),
        withoutNul,
      )
      .prefault({})
      .describe(
        'Environment variables, with the same placeholders as `command`. Variables of an API request are taken as they are, see `envAllow`. `EPHEMERA_ID`, `EPHEMERA_PORT`, `EPHEMERA_BASE_PATH` and `EPHEMERA_URL` are always set.',
      ),
    ...requestedEnvFields,
    labels: z
      .record(label, withoutNul)
      .prefault({})
      .describe('Labels of the container. Keys that begin with `ephemera.` are reserved.'),
    user: user
      .optional()
      .describe(
        'User and group of the process, as `user:group`, each a number or a name of the image. `image` uses the user of the image. Default: `65534:65534`, or what `profile` says.',
      ),
    readOnly: z
      .boolean()
      .optional()
      .describe(
        'Whether the root file system is read-only. If so, `/tmp` is a `tmpfs` of 64 MiB. Default: true, or what `profile` says.',
      ),
    tmpfs: z
      .record(tmpfsPath, tmpfs)
      .prefault({})
      .describe(
        'Paths that are mounted as `tmpfs`, with their sizes: `{/data: 32m}`. They belong to the user of the process and count towards `limits.memory`. Files on them cannot be executed, except with `{/cache: {size: 64m, exec: true}}`.',
      ),
    shmSize: size
      .optional()
      .describe(
        'Size of `/dev/shm`, which browsers and databases use for shared memory. It counts towards `limits.memory`. Default: `64m`.',
      ),
    init: z
      .boolean()
      .prefault(true)
      .describe(
        'Whether Docker runs its init as process 1, which forwards signals and reaps processes. Set `false` for an image that must be process 1 itself, such as one with s6-overlay or systemd.',
      ),
    workingDir: containerPath
      .optional()
      .describe('Working directory of the process. Default: that of the image.'),
    hostname: z
      .string()
      .regex(
        /^(?=.{1,64}$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/,
        'must be a host name: letters, digits and hyphens, at most 64 characters',
      )
      .optional()
      .describe('Host name that the container sees. Default: the short id of the container.'),
    ...isolationFields,
    stripPrefix: z
      .boolean()
      .prefault(true)
      .describe(
        'Whether the proxy removes `/{prefix}/{id}` from the path before it forwards a request. `false`: for an application that knows its base path. It then also gets `/{prefix}/{id}` without a slash.',
      ),
    open: landingPath
      .optional()
      .describe(
        'The path at which people open an instance, below its address, such as `/lab?path={basePath}`. The placeholders are those of `command`. `path` of a start replaces it. Default: `/`.',
      ),
    host: z
      .enum(['pass', 'mask'])
      .prefault('pass')
      .describe(
        'Value of the `Host` header that the container gets. `pass`: the value that the client sent. `mask`: the address of the container; then the visitor’s own origin in `Origin` and `Referer` is replaced too. See docs/guides/addresses.md.',
      ),
    forwardIdentity: z
      .boolean()
      .prefault(false)
      .describe(
        'Whether the container receives what a login proxy in `EPHEMERA_TRUSTED_PROXIES` says about the visitor: `X-Forwarded-User`, `-Email`, `-Groups`, `-Preferred-Username`, `-Access-Token`, `-Client-Cert` and their like, `X-Auth-Request-*`, and `Remote-User`, `-Name`, `-Email`, `-Groups`. Set it only for code that you would trust with the tokens of your visitors.',
      ),
    notice: positiveDuration
      .optional()
      .describe(
        'How long before the deadline the event `expiring` is sent. Default: a tenth of the TTL, at most one minute.',
      ),
    onTimeout: z
      .enum(['kill', 'pause'])
      .prefault('kill')
      .describe(
        'What happens at the deadline. `kill`: the instance ends. `pause`: it is paused, and ends at `maxTimeout`, which must then be above `timeout`.',
      ),
    resume: z
      .enum(['request', 'manual'])
      .prefault('manual')
      .describe(
        'What resumes a paused instance. `request`: the next request. `manual`: only `POST /v1/instances/{id}/resume`.',
      ),
    ...accessFields,
    ...visitorFields,
    ...capacityFields,
  })
  .superRefine((input, context) => {
    if ((input.port === undefined) === (input.ports === undefined)) {
      context.addIssue({ code: 'custom', path: ['port'], message: 'give either port or ports' });
    }
    const { command, entrypoint, env, open = '' } = input;
    const opensWithToken = usesPlaceholder([open], 'token');
    const hasToken = usesTokenPlaceholder({ command, entrypoint, env });
    if (opensWithToken && !hasToken) {
      const message =
        'the application never learns {token}; use it in command or env too, or {{token}} to write the text';
      context.addIssue({ code: 'custom', path: ['open'], message });
    }
    if (input.access === 'public' && input.create === 'open' && hasToken && !opensWithToken) {
      const message =
        'a visitor who starts an instance never learns {token}; use {{token}} to write the text, or set create: token, or access: token or owner, or pass it in open';
      const field = usesTokenPlaceholder({ command: undefined, env }) ? 'env' : 'command';
      context.addIssue({ code: 'custom', path: [field], message });
    }
    const gallery = galleryIssue(input);
    if (gallery !== undefined) {
      context.addIssue({ code: 'custom', path: ['gallery'], message: gallery });
    }
    const onVisit = onVisitIssue(input, hasToken);
    if (onVisit !== undefined) {
      context.addIssue({ code: 'custom', path: ['onVisit'], message: onVisit });
    }
    if (input.ports && Object.keys(input.ports).length === 0) {
      context.addIssue({ code: 'custom', path: ['ports'], message: 'must name at least one port' });
    }
    if (input.onTimeout === 'pause' && (input.maxTimeout ?? 0) <= input.timeout) {
      const message = 'must be above timeout if onTimeout is pause';
      context.addIssue({ code: 'custom', path: ['maxTimeout'], message });
    }
    if (input.maxTimeout !== undefined && input.maxTimeout < input.timeout) {
      context.addIssue({
        code: 'custom',
        path: ['maxTimeout'],
        message: 'must not be below timeout',
      });
    }
  });

/** The whole file. */
export const configFileSchema = z
  .strictObject({
    default: name.optional(),
    templates: z.record(name, templateSchema),
    limits: quotasSchema,
    tokens: tokensSchema,
    webhooks: webhooksSchema,
    registries: registriesSchema,
    ...policySchema,
  })
  .superRefine((input, context) => {
    const names = Object.keys(input.templates);
    if (names.length === 0) {
      context.addIssue({ code: 'custom', path: ['templates'], message: 'must have at least one' });
    }
    if (input.default !== undefined && !names.includes(input.default)) {
      const message = `"${input.default}" is not a template; templates: ${names.join(', ')}`;
      context.addIssue({ code: 'custom', path: ['default'], message });
    }
    const policy = policyOf(input);
    for (const [text, template] of Object.entries(input.templates)) {
      for (const { path, detail } of policyViolations(policy, template)) {
        const at = ['templates', text, ...path.split('.')];
        context.addIssue({ code: 'custom', path: at, message: detail });
      }
    }
  });

export interface TemplateSet {
  /** The template that `/{prefix}/new` starts. */
  readonly defaultTemplate: Template;
  readonly templates: ReadonlyMap<string, Template>;
  /** Quotas of one client. */
  readonly quotas: Quotas;
  /** The tokens of the control API. */
  readonly tokens: TokenEntries;
  /** Restrictions on templates. */
  readonly policy: Policy;
  /** The webhooks, whose secrets may be in the environment: see `resolveWebhooks`. */
  readonly webhooks: WebhookEntries;
}

/**
 * Reads the templates from YAML text.
 * @throws ConfigError with every error and its dotted path
 */
export function parseTemplates(text: string, what = 'The configuration'): TemplateSet {
  return resolveTemplates(readYaml(text, configFileSchema, what));
}

/** The fields of the file that describe templates and what limits them, as a program gives them. */
export type TemplatesInput = Pick<
  z.input<typeof configFileSchema>,
  'default' | 'templates' | 'limits' | 'allow' | 'images'
>;

/**
 * Reads templates that a program gives as data, with the fields of the file.
 * @throws ConfigError with every error and its dotted path
 */
export function readTemplates(input: TemplatesInput, what: string): TemplateSet {
  const result = configFileSchema.safeParse(input);
  if (!result.success) throw new ConfigError(what, issuesOf(result.error));
  return resolveTemplates(result.data);
}

function resolveTemplates(data: z.output<typeof configFileSchema>): TemplateSet {
  const templates = new Map<string, Template>();
  for (const [key, input] of Object.entries(data.templates)) {
    const {
      // Leaves the full TTL even if the start takes the maximum time.
      maxTimeout = input.timeout + input.ready.within,
      port,
      ports = { web: port ?? 0 },
      command,
      idleTimeout,
      notice,
      profile,
    } = input;
    const { user = PROFILE_DEFAULTS[profile].user, readOnly = PROFILE_DEFAULTS[profile].readOnly } =
      input;
    const main = port ?? Object.values(ports)[0] ?? 0;
    templates.set(key, {
      ...input,
      name: key,
      maxTimeout,
      port: main,
      ports,
      command,
      user: user === USER_OF_IMAGE ? undefined : user,
      readOnly,
      tmpfs: { ...(readOnly && { '/tmp': { size: TMP_SIZE, exec: false } }), ...input.tmpfs },
      idleTimeout,
      notice,
    });
  }
  const defaultTemplate = templates.get(data.default ?? '') ?? [...templates.values()][0];
  if (!defaultTemplate) throw new Error('the schema requires a template');
  const { limits: quotas, tokens, webhooks } = data;
  return { defaultTemplate, templates, quotas, tokens, policy: policyOf(data), webhooks };
}

/**
 * Reads lines of a template, such as the cure of a hint. Their values are not checked.
 * @throws ConfigError if the text is no YAML mapping
 */
export function parseTemplateLines(text: string): Record<string, unknown> {
  return readYaml(text, z.record(z.string(), z.unknown()), 'The lines of a template');
}

/** Reads the templates from a file. */
export function loadTemplates(path: string): TemplateSet {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new ConfigError(path, [{ path: '', detail: `cannot be read (${code})` }]);
  }
  return parseTemplates(text, path);
}
