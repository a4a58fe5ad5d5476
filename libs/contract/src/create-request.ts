import { MAX_IMAGE_LENGTH, isImageReference, landingPathIssue } from '@ephemera/domain';
import { z } from './openapi-zod.ts';

const variable = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'is not a valid variable name')
  .refine((name) => !name.startsWith('EPHEMERA_'), 'names with the prefix EPHEMERA_ are reserved');

/** Docker and the kernel cut a variable at a NUL character. */
const variableValue = z
  .string()
  .max(32_768)
  .refine((text) => !text.includes('\0'), 'must not contain a NUL character');

const key = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/,
    'is not a valid key; allowed: letters, digits, . _ / -',
  );

/** A line break would forge a line where metadata is logged or listed. */
const metadataValue = z
  .string()
  .max(1024)
  .regex(/^[^\r\n\0]*$/, 'must not contain a line break or a NUL character');

/** A path below the address of an instance at which people open it. */
export const landingPathSchema = z.string().superRefine((text, context) => {
  const message = landingPathIssue(text);
  if (message !== undefined) context.addIssue({ code: 'custom', message });
});

/** Redis holds metadata for as long as the tombstone of an instance. */
const MAX_METADATA_BYTES = 2_048;

const atMost = (max: number) => (record: Record<string, string>) =>
  Object.keys(record).length <= max;

/** The body of `POST /v1/instances`. Unknown fields are refused. */
export const createRequestSchema = z
  .strictObject({
    template: z
      .string()
      .optional()
      .openapi({ description: 'Name of the template. Default: the default template.' }),
    image: z
      .string()
      .max(MAX_IMAGE_LENGTH)
      .refine(
        isImageReference,
        'is not the name of an image, such as ghcr.io/acme/app:1.2; an id is none',
      )
      .optional()
      .openapi({
        description:
          'Image to run in place of that of the template. `imageAllow` of the template must match it, and the policy `images` of the deployment. The instance is never a warm one. Default: `image` of the template.',
        example: 'ghcr.io/acme/app:pr-42',
      }),
    timeout: z.number().optional().openapi({
      description:
        'Time to live in whole seconds, counted from ready, up to `maxTimeout` of the template. Default: `timeout` of the template.',
    }),
    path: landingPathSchema.optional().openapi({
      description:
        'Path at which people open the instance, such as `/lab?reset`, taken as it is. It begins with exactly one `/`. Default: `open` of the template.',
    }),
    env: z
      .record(variable, variableValue)
      .refine(atMost(64), 'at most 64 variables')
      .optional()
      .openapi({
        description:
          'Environment variables, at most 64. `envAllow` of the template must list each. A variable that the template sets itself keeps the value of the template, unless it has `envOverride: true`.',
      }),
    metadata: z
      .record(key, metadataValue)
      .refine(atMost(32), 'at most 32 keys')
      .refine(
        (record) => Buffer.byteLength(JSON.stringify(record)) <= MAX_METADATA_BYTES,
        `at most ${MAX_METADATA_BYTES} bytes as JSON`,
      )
      .optional()
      .openapi({
        description:
          'Your own key-value pairs, at most 32, and at most 2,048 bytes as JSON. Lists can be filtered by them.',
      }),
  })
  .openapi('CreateInstance');

export type CreateRequest = z.infer<typeof createRequestSchema>;
