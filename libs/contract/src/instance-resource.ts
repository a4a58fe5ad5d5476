import type { Instance } from '@ephemera/domain';
import { STATES } from '@ephemera/domain';
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
]);

const statusSchema = z
  .object({
    state: z.enum(STATES as [string, ...string[]]).describe('Current state.'),
    reason: endReasonSchema
      .optional()
      .openapi({ description: 'Why the instance ended. Absent while it lives.' }),
    message: z.string().optional().openapi({
      description: 'Explanation for people: the start step, or why the instance ended.',
    }),
    lastTransitionAt: time.describe('When the state changed last.'),
  })
  .openapi('Status');

/** An instance in the control API. Times are RFC 3339. */
export const instanceSchema = z
  .object({
    id: z.string().describe('Id, which is part of the address.'),
    template: z.string().describe('Name of the template.'),
    status: statusSchema,
    url: z.url().describe('Address for visitors.'),
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

/** The answer to a creation. No other answer contains the tokens of the instance. */
export const createdSchema = instanceSchema
  .extend({
    token: z
      .string()
      .optional()
      .openapi({ description: 'Value of the placeholder `{token}`. Only in this response.' }),
    accessToken: z.string().optional().openapi({
      description:
        'Access token for the header `Ephemera-Token`, if the template sets `access`. Only in this response.',
    }),
    link: z.url().optional().openapi({
      description:
        'Link that opens the instance in a browser, if the template sets `access`. Only in this response.',
    }),
  })
  .openapi('CreatedInstance');

export type InstanceResource = z.infer<typeof instanceSchema>;

export const instancePageSchema = z
  .object({
    items: z.array(instanceSchema).describe('Instances, oldest first.'),
    nextCursor: z.string().optional().openapi({ description: 'Absent on the last page.' }),
  })
  .openapi('InstancePage');

export type InstancePage = z.infer<typeof instancePageSchema>;

/** Converts an instance for the control API. Omits its address and its env. */
export function toResource(instance: Instance): InstanceResource {
  const { id, template, state, reason, message, url, timeout, startedAt, metadata } = instance;
  return {
    id,
    template: template.name,
    status: { state, reason, message, lastTransitionAt: iso(instance.lastTransitionAt) },
    url,
    timeout: timeout / 1000,
    createdAt: iso(instance.createdAt),
    startedAt: startedAt === undefined ? undefined : iso(startedAt),
    expiresAt: iso(instance.expiresAt),
    maxExpiresAt: iso(instance.maxExpiresAt),
    metadata,
  };
}

function iso(time: number): string {
  return new Date(time).toISOString();
}
