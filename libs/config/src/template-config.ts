import { readFileSync } from 'node:fs';
import { LIMIT_RANGES, policyViolations } from '@ephemera/domain';
import type { Policy, Readiness, Template } from '@ephemera/domain';
import { z } from 'zod';
import { accessFields } from './access-config.ts';
import { capacityFields, quotasSchema } from './capacity-config.ts';
import type { Quotas } from './capacity-config.ts';
import { isolationFields, policyOf, policySchema } from './isolation-config.ts';
import { durationText as duration, positiveDuration, sizeText as size } from './config-values.ts';
import { ConfigError } from './environment.ts';
import { type TokenEntries, tokensSchema } from './tokens/token-config.ts';
import { webhooksSchema } from './webhook-config.ts';
import { readYaml } from './yaml-text.ts';

const portNumber = z
  .int({ error: 'must be a port number' })
  .min(1, 'must be a port from 1 to 65535')
  .max(65535, 'must be a port from 1 to 65535');
const name = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,40}$/, 'names are lowercase letters, digits and hyphens, at most 41');
const variable = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is no name of a variable');

const label = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/, 'is no key of a label')
  .refine((key) => !key.startsWith('ephemera.'), 'keys with ephemera. are taken');

const statusRanges = z.union([z.string(), z.int()]).transform((input, context) => {
  const ranges: [number, number][] = [];
  for (const part of String(input).split(',')) {
    const match = /^\s*([1-5]\d\d)(?:-([1-5]\d\d))?\s*$/.exec(part);
    if (!match) {
      context.addIssue({
        code: 'custom',
        message: `"${part}" is no status such as 200 or 200-399`,
      });
      return z.NEVER;
    }
    ranges.push([Number(match[1]), Number(match[2] ?? match[1])]);
  }
  return ranges;
});

const DEFAULT_READY_TIMEOUT_MS = '30s';

/** Nobody and nogroup: with no group given, Docker would take that of root. */
const NOBODY = '65534:65534';
/** What stands for the user of the image. */
const AS_THE_IMAGE_SAYS = 'image';
/** Of `/tmp` where the root file system is read-only; what is in it counts as memory. */
const TMP_SIZE = 64 * 1024 ** 2;

const ready = z
  .union(
    [
      z.literal('tcp'),
      z.strictObject({
        tcp: z.literal(true),
        within: positiveDuration.prefault(DEFAULT_READY_TIMEOUT_MS),
      }),
      z.strictObject({
        http: z.string().startsWith('/', 'must be a path that starts with /'),
        status: statusRanges.prefault('200-399'),
        within: positiveDuration.prefault(DEFAULT_READY_TIMEOUT_MS),
      }),
    ],
    'must be tcp, {tcp: true, within} or {http: /path, status, within}',
  )
  .prefault('tcp')
  .transform((input): Readiness => {
    if (input === 'tcp') return { kind: 'tcp', within: 30_000 };
    if ('tcp' in input) return { kind: 'tcp', within: input.within };
    return { kind: 'http', path: input.http, status: input.status, within: input.within };
  });

const [MIN_CPUS, MAX_CPUS] = LIMIT_RANGES.cpus;
const [MIN_PIDS, MAX_PIDS] = LIMIT_RANGES.pids;

const limits = z
  .strictObject({
    memory: size.refine((bytes) => bytes >= 6 * 1024 ** 2, 'must be at least 6m').prefault('256m'),
    cpus: z.number().min(MIN_CPUS, `must be at least ${MIN_CPUS}`).max(MAX_CPUS).prefault(0.5),
    pids: z.int().min(MIN_PIDS, `must be at least ${MIN_PIDS}`).max(MAX_PIDS).prefault(128),
  })
  .prefault({});

/** One template as it stands in the file; every field with its default. */
export const templateSchema = z
  .strictObject({
    image: z
      .string()
      .min(1, 'must name an image')
      .describe('The image; pulled where it is not on the host.'),
    port: portNumber
      .optional()
      .describe('The port that the container serves on; give this or `ports`.'),
    ports: z
      .record(name, portNumber)
      .optional()
      .describe('Several ports by name; the first is the main one.'),
    timeout: positiveDuration.prefault('30m').describe('Time to live, counted from ready.'),
    maxTimeout: positiveDuration
      .optional()
      .describe(
        'Ceiling of the whole life, counted from creation; `timeout` and the start deadline where absent.',
      ),
    idleTimeout: positiveDuration
      .optional()
      .describe('Ends it before its time when it was not used for so long; never where absent.'),
    activity: z
      .enum(['connections', 'client-bytes', 'requests'])
      .prefault('connections')
      .describe(
        'What counts as use: open requests and tunnels, bytes that clients send, or requests answered below 300.',
      ),
    ready: ready.describe(
      'When it counts as ready: `tcp`, `{tcp: true, within}` or `{http: /path, status: 200-399, within: 30s}`.',
    ),
    stopGrace: duration
      .prefault('5s')
      .describe('How long it may take to stop before it is killed.'),
    limits: limits.describe(
      '`memory`, without swap on top, `cpus`, and `pids`, processes and threads.',
    ),
    command: z
      .array(z.string())
      .min(1)
      .optional()
      .describe(
        "Replaces the image's command; `{id}`, `{port}`, `{basePath}`, `{url}` and `{token}` are filled in.",
      ),
    env: z
      .record(variable, z.string())
      .prefault({})
      .describe(
        'Environment; filled in like `command`. `EPHEMERA_ID`, `_PORT`, `_BASE_PATH` and `_URL` are always there.',
      ),
    labels: z
      .record(label, z.string())
      .prefault({})
      .describe("Labels of the container; Ephemera's own begin with `ephemera.`."),
    user: z
      .string()
      .min(1, 'must name a user, or be image')
      .prefault(NOBODY)
      .describe(
        "The user, and the group after a colon, that it runs as; `image`: the image's own.",
      ),
    readOnly: z
      .boolean()
      .prefault(true)
      .describe('Whether its root file system is read-only; `/tmp` is then a `tmpfs` of 64m.'),
    tmpfs: z
      .record(z.string().startsWith('/'), size)
      .prefault({})
      .describe('Writable paths in memory, with their sizes.'),
    ...isolationFields,
    stripPrefix: z
      .boolean()
      .prefault(true)
      .describe('Whether `/{prefix}/{id}` is taken off the path that the container sees.'),
    host: z
      .enum(['pass', 'mask'])
      .prefault('pass')
      .describe("`pass`: the container sees the visitor's Host; `mask`: its own address."),
    notice: positiveDuration
      .optional()
      .describe(
        'How long ahead of its deadline `expiring` is told; a tenth of the TTL, at most a minute, where absent.',
      ),
    onTimeout: z
      .enum(['kill', 'pause'])
      .prefault('kill')
      .describe(
        '`pause`: its deadline freezes it, and it is killed at its ceiling, so give `maxTimeout`.',
      ),
    resume: z
      .enum(['request', 'manual'])
      .prefault('manual')
      .describe('What resumes a paused one: the next request, or only `POST …/resume`.'),
    ...accessFields,
    ...capacityFields,
  })
  .superRefine((input, context) => {
    if ((input.port === undefined) === (input.ports === undefined)) {
      context.addIssue({ code: 'custom', path: ['port'], message: 'give either port or ports' });
    }
    if (input.ports && Object.keys(input.ports).length === 0) {
      context.addIssue({ code: 'custom', path: ['ports'], message: 'must name at least one port' });
    }
    if (input.onTimeout === 'pause' && (input.maxTimeout ?? 0) <= input.timeout) {
      const message = 'must be above timeout where onTimeout is pause';
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

const fileSchema = z
  .strictObject({
    default: name.optional(),
    templates: z.record(name, templateSchema),
    limits: quotasSchema,
    tokens: tokensSchema,
    webhooks: webhooksSchema,
    ...policySchema,
  })
  .superRefine((input, context) => {
    const names = Object.keys(input.templates);
    if (names.length === 0) {
      context.addIssue({ code: 'custom', path: ['templates'], message: 'must have at least one' });
    }
    if (input.default !== undefined && !names.includes(input.default)) {
      const message = `"${input.default}" is none of the templates: ${names.join(', ')}`;
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
  /** What one client may have at once. */
  readonly quotas: Quotas;
  /** The tokens of the control API. */
  readonly tokens: TokenEntries;
  /** What templates may ask for. */
  readonly policy: Policy;
}

/**
 * Reads the templates from YAML text.
 * @throws ConfigError with every fault and its dotted path
 */
export function parseTemplates(text: string, what = 'The configuration'): TemplateSet {
  const data = readYaml(text, fileSchema, what);
  const templates = new Map<string, Template>();
  for (const [key, input] of Object.entries(data.templates)) {
    const {
      // Enough for the whole time to live, however late in its start it becomes ready.
      maxTimeout = input.timeout + input.ready.within,
      port,
      ports = { web: port ?? 0 },
      command,
      idleTimeout,
      notice,
      user,
    } = input;
    const main = port ?? Object.values(ports)[0] ?? 0;
    templates.set(key, {
      ...input,
      name: key,
      maxTimeout,
      port: main,
      ports,
      command,
      user: user === AS_THE_IMAGE_SAYS ? undefined : user,
      tmpfs: { ...(input.readOnly && { '/tmp': TMP_SIZE }), ...input.tmpfs },
      idleTimeout,
      notice,
    });
  }
  const defaultTemplate = templates.get(data.default ?? '') ?? [...templates.values()][0];
  if (!defaultTemplate)
    throw new ConfigError(what, [{ path: 'templates', detail: 'must have at least one' }]);
  const { limits: quotas, tokens } = data;
  return { defaultTemplate, templates, quotas, tokens, policy: policyOf(data) };
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
