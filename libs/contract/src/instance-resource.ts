import type { Instance, InstanceWarning } from '@ephemera/domain';
import { HINT_CODES, STATES, WARNING_KINDS, landingUrl, portAddresses } from '@ephemera/domain';
import { z } from './openapi-zod.ts';

const time = z.iso.datetime({ offset: true });

export const endReasonSchema = z.enum([
  'ttl',
  'idle',
  'request',
  'exited',
  'oom',
  'start_failed',
  'orphan',
  'host_drained',
  'replaced',
]);

export const hintSchema = z
  .object({
    code: z.enum(HINT_CODES).describe('The cause, for programs.'),
    text: z.string().describe('The cause and what to do, for people.'),
    cure: z.string().optional().openapi({
      description: 'Lines of the template that probably help, as YAML. Absent: none does.',
    }),
  })
  .openapi('Hint');

const statusSchema = z
  .object({
    state: z.enum(STATES as [string, ...string[]]).describe('Current state.'),
    reason: endReasonSchema
      .optional()
      .openapi({ description: 'Why the instance ended. Absent while it lives.' }),
    message: z.string().optional().openapi({
      description: 'Explanation for people: the start step, or why the instance ended.',
    }),
    hint: hintSchema.optional().openapi({
      description:
        'The probable cause of a failed start or an exit, from the log and the template. Absent if none is known.',
    }),
    lastTransitionAt: time.describe('When the state changed last.'),
  })
  .openapi('Status');

/** An instance in the control API. Times are RFC 3339. */
export const instanceSchema = z
  .object({
    id: z.string().describe('Id, which is part of the address.'),
    template: z.string().describe('Name of the template.'),
    image: z.string().optional().openapi({
      description: 'The image, if the creation named one.',
    }),
    status: statusSchema,
    url: z.url().openapi({
      description:
        'Where a person opens the instance: `baseUrl` with the `path` of the creation, or with `open` of the template.',
    }),
    baseUrl: z.url().openapi({ description: 'Address of the instance, with a trailing slash.' }),
    ports: z
      .record(
        z.string(),
        z.object({
          port: z.int().describe('The port of the container.'),
          url: z.url().describe('Address of this port for visitors, with a trailing slash.'),
        }),
      )
      .openapi({ description: 'The ports by name, the main port first.' }),
    timeout: z.int().openapi({ description: 'Time to live in seconds, counted from ready.' }),
    createdAt: time.describe('When the instance was created.'),
    startedAt: time.optional().openapi({ description: 'When the instance became ready.' }),
    expiresAt: time.openapi({
      description: 'Deadline. Before the instance is ready: the deadline of its start.',
    }),
    maxExpiresAt: time.openapi({ description: 'Maximum deadline. No renewal passes it.' }),
    metadata: z.record(z.string(), z.string()).describe('Key-value pairs of the creation request.'),
  })
  .openapi('Instance');

const warningSchema = z
  .object({
    kind: z
      .enum(WARNING_KINDS)
      .describe(
        '`upstream_failure`: a request failed in the instance. `missing_base_path`: its pages ask for paths at the root of the public port.',
      ),
    detail: z.string().describe('What happened, what was expected, and what to do.'),
    at: time.describe('When it was noticed last.'),
  })
  .openapi('Warning');

/** One instance, with what the proxies noticed about it. */
export const instanceDetailSchema = instanceSchema
  .extend({
    warnings: z
      .array(warningSchema)
      .optional()
      .openapi({ description: 'The last warning of each kind, for an hour. Absent if none.' }),
  })
  .openapi('InstanceDetail');

export type InstanceDetail = z.infer<typeof instanceDetailSchema>;

/** The answer to a creation. No other answer contains the tokens of the instance. */
export const createdSchema = instanceSchema
  .extend({
    token: z
      .string()
      .optional()
      .openapi({ description: 'Value of the placeholder `{token}`. Only in this response.' }),
    accessToken: z.string().optional().openapi({
      description:
        'Access token for the header `Ephemera-Token`, if the template sets `access`. Only in this response. A repetition with the same `Idempotency-Key` contains it if signing keys were set at the creation.',
    }),
    link: z.url().optional().openapi({
      description:
        '`url` with the access token: opens the instance in a browser, if the template sets `access`. Only in this response.',
    }),
  })
  .openapi('CreatedInstance');

export type CreatedResource = z.infer<typeof createdSchema>;

/** The answer to a renewal: the instance, and what the renewal did. */
export const renewedSchema = instanceSchema
  .extend({
    renewal: z
      .object({
        outcome: z
          .enum(['extended', 'shortened', 'unchanged'])
          .describe('Whether the deadline is later, earlier or where it was.'),
        previousExpiresAt: time.describe('The deadline before the renewal.'),
        isAtMaximum: z
          .boolean()
          .describe(
            'Whether the deadline is at `maxExpiresAt`, so that no renewal moves it further.',
          ),
      })
      .describe('What the renewal did.'),
  })
  .openapi('RenewedInstance');

export type RenewedResource = z.infer<typeof renewedSchema>;

export type InstanceResource = z.infer<typeof instanceSchema>;

export const instancePageSchema = z
  .object({
    items: z.array(instanceSchema).describe('Instances, oldest first.'),
    nextCursor: z.string().optional().openapi({ description: 'Absent on the last page.' }),
  })
  .openapi('InstancePage');

/**
 * Converts an instance for the control API. Omits its address and its env.
 * @param token the value of `{token}`, for the client that started the instance
 */
export function toResource(instance: Instance, token?: string): InstanceResource {
  const { id, template, state, reason, message, hint, timeout, startedAt, metadata } = instance;
  return {
    id,
    template: template.name,
    ...(template.isImageNamed === true && { image: template.image }),
    status: { state, reason, message, hint, lastTransitionAt: iso(instance.lastTransitionAt) },
    url: landingUrl(instance, token),
    baseUrl: instance.url,
    ports: portAddresses(instance),
    timeout: timeout / 1000,
    createdAt: iso(instance.createdAt),
    startedAt: startedAt === undefined ? undefined : iso(startedAt),
    expiresAt: iso(instance.expiresAt),
    maxExpiresAt: iso(instance.maxExpiresAt),
    metadata,
  };
}

/** Converts a renewed instance for the control API. @param previousExpiresAt epoch ms */
export function toRenewed(instance: Instance, previousExpiresAt: number): RenewedResource {
  const { expiresAt, maxExpiresAt } = instance;
  const moved = Math.sign(expiresAt - previousExpiresAt);
  return {
    ...toResource(instance),
    renewal: {
      outcome: moved > 0 ? 'extended' : moved < 0 ? 'shortened' : 'unchanged',
      previousExpiresAt: iso(previousExpiresAt),
      isAtMaximum: expiresAt === maxExpiresAt,
    },
  };
}

/** Converts an instance and its warnings for the control API. */
export function toDetail(instance: Instance, warnings: readonly InstanceWarning[]): InstanceDetail {
  const resource = toResource(instance);
  if (warnings.length === 0) return resource;
  return {
    ...resource,
    warnings: warnings.map(({ kind, detail, at }) => ({ kind, detail, at: iso(at) })),
  };
}

function iso(time: number): string {
  return new Date(time).toISOString();
}
