import { EVENT_TYPES, STATES, isId } from '@ephemera/domain';
import type { InstanceEvent } from '@ephemera/domain';
import { endReasonSchema } from './instance-resource.ts';
import { z } from './openapi-zod.ts';

const time = z.iso.datetime({ offset: true });

/** An event in the control API and in webhooks. Times are RFC 3339. */
export const eventSchema = z
  .object({
    seq: z
      .string()
      .openapi({ description: 'Position of the event in the stream, the same on every replica.' }),
    type: z.enum(EVENT_TYPES).describe('What happened.'),
    time: time.describe('When it happened.'),
    id: z.string().openapi({ description: 'Id of the instance.' }),
    template: z.string().describe('Name of the template.'),
    state: z.enum(STATES as [string, ...string[]]).describe('State after the change.'),
    reason: endReasonSchema.optional().describe('Why the instance ended.'),
    message: z.string().optional().describe('Explanation for people.'),
    generation: z.int().describe('Generation of the instance.'),
    expiresAt: time.describe('Deadline of the instance.'),
    metadata: z.record(z.string(), z.string()).describe('Key-value pairs of the creation request.'),
  })
  .openapi('Event');

export type EventResource = z.infer<typeof eventSchema>;

export function toEventResource(event: InstanceEvent): EventResource {
  return {
    ...event,
    time: new Date(event.time).toISOString(),
    expiresAt: new Date(event.expiresAt).toISOString(),
  };
}

const list = <T extends z.ZodType<unknown, string>>(item: T, description: string) =>
  z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(item))
    .optional()
    .openapi({ type: 'string', description });

/** The query of `GET /v1/events`: comma-separated lists. An event must match all of them. */
export const eventsQuerySchema = z.strictObject({
  instance: list(
    z.string().refine(isId, 'is not a valid instance id'),
    'Ids of instances, comma-separated.',
  ),
  template: list(z.string(), 'Names of templates, comma-separated.'),
  type: list(z.enum(EVENT_TYPES), `Event types, comma-separated: ${EVENT_TYPES.join(', ')}.`),
});

export type EventsQuery = z.infer<typeof eventsQuerySchema>;

/** Whether an event matches the query. */
export function matchesEventQuery(
  { instance, template, type }: EventsQuery,
  event: InstanceEvent,
): boolean {
  return (
    (instance?.includes(event.id) ?? true) &&
    (template?.includes(event.template) ?? true) &&
    (type?.includes(event.type) ?? true)
  );
}
