import { isName } from '@ephemera/domain';
import type { Instance, Name } from '@ephemera/domain';
import { createRequestSchema } from './create-request.ts';
import { createdSchema, instanceSchema, toResource } from './instance-resource.ts';
import { z } from './openapi-zod.ts';

const time = z.iso.datetime({ offset: true });

/** 30 days and a year, seconds. */
const DEFAULT_TTL = 30 * 86_400;
const MAX_TTL = 365 * 86_400;
/** Seconds. */
const DEFAULT_DRAIN = 30;
const MAX_DRAIN = 3_600;

export const nameParameter = z.string().refine(isName, 'is not a valid name').openapi({
  description:
    'The name: at most 40 lowercase letters, digits and single hyphens, beginning with a letter. It is no id and does not end in a hyphen and one.',
  example: 'pr-42',
});

/** The body of `PUT /v1/names/{name}`. Unknown fields are refused. */
export const putNameSchema = z
  .strictObject({
    // Not by `extend`: OpenAPI's `allOf` of two closed objects would allow no field of either.
    ...createRequestSchema.shape,
    drain: z.int().min(0).max(MAX_DRAIN).default(DEFAULT_DRAIN).openapi({
      description:
        'How long the instance that the name leads to still serves once the new one is ready, in seconds: the requests that it has got can end.',
    }),
    ttl: z.int().min(60).max(MAX_TTL).default(DEFAULT_TTL).openapi({
      description:
        'How long the name is remembered, in seconds from this request, whether or not its instance lives.',
    }),
  })
  .openapi('PutName');

export type PutNameRequest = z.input<typeof putNameSchema>;

/** A stable name and the instances behind it. */
export const nameSchema = z
  .object({
    name: z.string().describe('The name.'),
    generation: z
      .int()
      .describe('Generation of the instance that was started last for it, as in `ETag`.'),
    instance: instanceSchema.optional().openapi({
      description: 'The instance that it leads to. Absent once its record has expired.',
    }),
    next: instanceSchema.optional().openapi({
      description: 'The instance that it leads to as soon as that one is ready.',
    }),
    createdAt: time.describe('When the name was created.'),
    updatedAt: time.describe('When an instance was last started for it.'),
    expiresAt: time.describe('When the name is forgotten.'),
  })
  .openapi('Name');

export type NameResource = z.infer<typeof nameSchema>;

export const namePageSchema = z
  .object({
    items: z.array(nameSchema).describe('Names in alphabetical order.'),
    nextCursor: z.string().optional().openapi({ description: 'Absent on the last page.' }),
  })
  .openapi('NamePage');

export const nameListQuerySchema = z.strictObject({
  limit: z.coerce
    .number({ error: 'must be a number' })
    .int()
    .min(1)
    .max(500)
    .default(100)
    .openapi({ description: 'Maximum number of names per page.' }),
  cursor: z
    .string()
    .refine(isName, 'is not a cursor of this list')
    .optional()
    .openapi({ description: '`nextCursor` of the previous page.' }),
});

/** The answer to `PUT`: the instance that was started. Only this answer contains its tokens. */
export const namedInstanceSchema = createdSchema
  .extend({
    name: z.string().describe('The name.'),
    generation: z
      .int()
      .describe(
        'The generation that this creation gave to the name, as in `ETag`. `If-Match` with it fails if another creation followed.',
      ),
    isCurrent: z
      .boolean()
      .describe(
        'Whether the name leads to this instance. If not, it does once this is ready, unless there is no `ETag`: then the name was removed, or is that of a later creation.',
      ),
  })
  .openapi('NamedInstance');

/** Converts a name with its instances, as far as their records exist. */
export function toNameResource(
  { name, generation, createdAt, updatedAt, expiresAt }: Name,
  {
    current,
    next,
  }: { readonly current: Instance | undefined; readonly next: Instance | undefined },
): NameResource {
  return {
    name,
    generation,
    instance: current && toResource(current),
    next: next && toResource(next),
    createdAt: new Date(createdAt).toISOString(),
    updatedAt: new Date(updatedAt).toISOString(),
    expiresAt: new Date(expiresAt).toISOString(),
  };
}
