import { readFileSync } from 'node:fs';
import type { Issue } from '@ephemera/domain';
import { BootError, parseDuration, parseSize } from '@ephemera/domain';
import { z } from 'zod';
import { REDIS } from './redis-config.ts';

/** An error in the configuration. */
export interface ConfigIssue extends Issue {
  /** Line in the file, from 1. */
  readonly line?: number | undefined;
}

/** `path: detail (line 3)`. */
export function issueText({ path, line, detail }: ConfigIssue): string {
  const where = line === undefined ? '' : ` (line ${line})`;
  return `${path || '(whole)'}: ${detail}${where}`;
}

/** An invalid configuration, with all its errors. */
export class ConfigError extends BootError {
  override readonly name = 'ConfigError';
  readonly faults: readonly ConfigIssue[];
  constructor(what: string, faults: readonly ConfigIssue[]) {
    super(
      [`${what} cannot be used:`, ...faults.map((issue) => `  ${issueText(issue)}`)].join('\n'),
    );
    this.faults = faults;
  }
}

/** The detail for an unknown field, given the path of the object that contains it. */
type OfUnknown = (at: readonly PropertyKey[]) => string;

/** Converts the errors of zod to issues with dotted paths. */
export function issuesOf(
  error: z.ZodError,
  ofUnknown: OfUnknown = () =>
    'unknown field; docs/reference/configuration.md lists the known ones',
): Issue[] {
  return error.issues.flatMap((issue) => issuesIn(issue, [], ofUnknown));
}

function issuesIn(
  issue: z.core.$ZodIssue,
  above: readonly PropertyKey[],
  ofUnknown: OfUnknown,
): Issue[] {
  const at = [...above, ...issue.path];
  const path = at.map(String).join('.');
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => {
        const name = nameOf(key);
        return { path: path === '' ? name : `${path}.${name}`, detail: ofUnknown(at) };
      });
    case 'invalid_key':
      return issue.issues.map(({ message }) => ({
        path: at
          .map((key, index) => (index === at.length - 1 ? nameOf(key) : String(key)))
          .join('.'),
        detail: message,
      }));
    case 'invalid_union': {
      const meant = branchMeant(issue.errors);
      return (
        meant?.flatMap((item) => issuesIn(item, at, ofUnknown)) ?? [{ path, detail: issue.message }]
      );
    }
    default:
      return [{ path, detail: issue.message }];
  }
}

/** The name in a key such as `secret:abc` or `A=abc`, which must not show what may be a secret. */
function nameOf(key: PropertyKey): string {
  const text = String(key);
  const [name = ''] = text.split(/[=:\s]/, 1);
  return name === '' ? text : name;
}

/** The only branch of a union that knows all given fields, so that its errors concern values. */
function branchMeant(branches: readonly z.core.$ZodIssue[][]): z.core.$ZodIssue[] | undefined {
  const fitting = branches.filter((issues) =>
    issues.every(({ code, path }) => code !== 'unrecognized_keys' && path.length > 0),
  );
  return fitting.length === 1 ? fitting[0] : undefined;
}

/** Secrets that may be in files, because `docker inspect` and /proc reveal the environment. */
const SECRETS = [
  'EPHEMERA_ADMIN_TOKEN',
  'EPHEMERA_REDIS_URL',
  'EPHEMERA_REDIS_SENTINEL_PASSWORD',
] as const;

/** Reads secrets from the files that the environment names. Returns the errors. */
function readSecrets(schema: z.ZodType, input: Record<string, string | undefined>): Issue[] {
  // All apps may share one environment. Read only the files of secrets that this app uses.
  const read = SECRETS.filter((name) => schema instanceof z.ZodObject && name in schema.shape);
  return read.flatMap((name) => {
    const path = `${name}_FILE`;
    const file = input[path];
    if (file === undefined) return [];
    if (input[name] !== undefined)
      return [{ path, detail: `conflicts with ${name}; set only one of them` }];
    try {
      const secret = readFileSync(file, 'utf8').trim();
      if (secret === '') return [{ path, detail: `${file} is empty` }];
      input[name] = secret;
      return [];
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
      return [{ path, detail: `${file} cannot be read (${code})` }];
    }
  });
}

/**
 * Reads settings from the environment. The keys of the schema are the names of the variables.
 * Reports all errors at once. An empty variable counts as unset. Secrets may be in files.
 * @throws ConfigError
 */
export function readEnvironment<T extends z.ZodType>(
  schema: T,
  environment: Readonly<Record<string, string | undefined>>,
): z.infer<T> {
  const input = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const faults = readSecrets(schema, input);
  const result = schema.safeParse(input);
  if (!result.success) faults.push(...issuesOf(result.error));
  if (!result.success || faults.length > 0) throw new ConfigError('The environment', faults);
  return result.data;
}

/** A TCP port, 1 to 65535. */
export const port = (defaultValue: number) =>
  z.coerce
    .number({ error: 'must be a port number' })
    .int('must be a whole port number')
    .min(1, 'must be a port from 1 to 65535')
    .max(65535, 'must be a port from 1 to 65535')
    .default(defaultValue);

/** A duration such as `90s`, `30m`, in milliseconds. */
export const duration = (defaultValue: string) =>
  z
    .string()
    .default(defaultValue)
    .transform((text, context) => {
      const ms = parseDuration(text);
      if (ms !== undefined) return ms;
      context.addIssue({
        code: 'custom',
        message: `"${text}" is not a duration such as 90s, 30m, 2h`,
      });
      return z.NEVER;
    });

/** A whole number from `min` to `max`. */
export const count = (defaultValue: number, min: number, max: number) =>
  z.coerce
    .number({ error: 'must be a number' })
    .int('must be a whole number')
    .min(min, `must be at least ${min}`)
    .max(max, `must be at most ${max}`)
    .default(defaultValue);

/** A size such as `64k`, in bytes. @param min of the range @param max of the range, both as text */
export const size = (defaultValue: string, min: string, max: string) =>
  z
    .string()
    .default(defaultValue)
    .transform((text, context) => {
      const bytes = parseSize(text);
      const [least = 0, most = 0] = [parseSize(min), parseSize(max)];
      if (bytes !== undefined && bytes >= least && bytes <= most) return bytes;
      const message =
        bytes === undefined
          ? `"${text}" is not a size such as ${defaultValue}`
          : `must be from ${min} to ${max}`;
      context.addIssue({ code: 'custom', message });
      return z.NEVER;
    });

/** A list, separated by commas or spaces. */
export const list = z
  .string()
  .default('')
  .transform((text) => text.split(/[\s,]+/).filter(Boolean));

export const trustedProxies = list.describe(
  'Load balancers whose `X-Forwarded-*` headers are trusted: addresses or CIDR ranges, separated by commas or spaces. List exactly the balancers: a client with an address in a listed range chooses the address that limits and logs use, and the user that it claims to be.',
);

const namespace = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,30}$/, 'must be lowercase letters, digits and hyphens, at most 31')
  .default('ephemera');

const logLevel = z
  .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
  .default('info');

/** A token with the scope `admin`, for the control API and for the login of the dashboard. */
export const adminToken = z
  .string()
  .min(16, 'must have at least 16 characters')
  .optional()
  .describe(
    'Bearer token with the scope `admin`, which also opens the dashboard. At least 16 characters. Optional if `ephemera.yml` has a token with the scope `admin`.',
  );

export const adminTokenFile = z
  .string()
  .optional()
  .describe(
    'Path of a file that holds the value of `EPHEMERA_ADMIN_TOKEN`. Keeps the token out of the environment. Read once at start-up. Set only one of the two.',
  );

/** Labels of at most 63 characters, the last one not a number: an address has no names below it. */
const DOMAIN =
  /^(?:[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?\.)*(?!\d+(?::|$))[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?(?::\d+)?$/;
/** Leaves room for the port and the id of an instance in a host name of 253 characters. */
const MAX_DOMAIN_LENGTH = 220;

/** The domain of the host form, with a port or without. */
export const domainName = z
  .string()
  .max(MAX_DOMAIN_LENGTH, `must have at most ${MAX_DOMAIN_LENGTH} characters`)
  .regex(DOMAIN, 'must be a domain in lower case, such as demos.example.org')
  .refine((text) => isPort(/:(\d+)$/.exec(text)?.[1]), 'must have a port from 1 to 65535, or none');

/** `EPHEMERA_DOMAIN`, as an operator sets it. */
export const domain = domainName
  .optional()
  .describe(
    'Domain of the host form: each instance is served on its own origin, `{id}.DOMAIN`. Without a port, the port of `EPHEMERA_PUBLIC_URL` applies if that is set, otherwise `EPHEMERA_PUBLIC_PORT`. If unset, only the path form exists.',
  );

/**
 * The URL of the public port for visitors, without a slash at its end, a query or a fragment.
 *
 * Browsers send origins in canonical form: scheme and host in lower case, an IDN as Punycode, no
 * default port (RFC 6454 section 6). Redirects, links and comparisons of origins use the same form.
 */
export function publicUrlOf(input: {
  readonly EPHEMERA_PUBLIC_URL?: string | undefined;
  readonly EPHEMERA_PUBLIC_PORT: number;
}): string {
  const url = input.EPHEMERA_PUBLIC_URL ?? `http://localhost:${input.EPHEMERA_PUBLIC_PORT}`;
  const { origin, pathname } = new URL(url);
  return (origin + pathname).replace(/\/+$/, '');
}

/** The domain with the port that visitors use. The default port of HTTP is left out. */
export function domainWithPort(input: {
  readonly EPHEMERA_DOMAIN?: string | undefined;
  readonly EPHEMERA_PUBLIC_URL?: string | undefined;
  readonly EPHEMERA_PUBLIC_PORT: number;
}): string | undefined {
  const { EPHEMERA_DOMAIN: name, EPHEMERA_PUBLIC_URL: url, EPHEMERA_PUBLIC_PORT: ownPort } = input;
  if (name === undefined || name.includes(':')) return name;
  // A URL leaves out the default port of its scheme.
  const { port: urlPort } = new URL(url ?? `http://localhost:${ownPort}`);
  return urlPort === '' ? name : `${name}:${urlPort}`;
}

/** Whether the text of a port, if there is one, is in range and without leading zeros. */
function isPort(text: string | undefined): boolean {
  return text === undefined || (/^[1-9]\d{0,4}$/.test(text) && Number(text) <= 65_535);
}

/** The settings that all apps share. */
export const COMMON = {
  ...REDIS,
  EPHEMERA_NAMESPACE: namespace.describe(
    'Prefix of every Redis key, container name and network name. Two deployments that share a Redis or a Docker daemon need different namespaces.',
  ),
  EPHEMERA_LOG_LEVEL: logLevel.describe(
    'Lowest level that is logged. The log is JSON, one object per line, on standard output.',
  ),
  EPHEMERA_HOST: z
    .string()
    .default('127.0.0.1')
    .describe(
      'Address that the public port binds to. On another address than loopback, a proxy refuses a weak `EPHEMERA_ADMIN_TOKEN`, because the public port accepts it too.',
    ),
  EPHEMERA_TOMBSTONE: count(3600, 1, 604_800).describe(
    'Seconds for which the id of an ended instance answers 410 with the reason. After that it answers 404.',
  ),
};
