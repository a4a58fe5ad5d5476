import { z } from './openapi-zod.ts';

const variable = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'is no name of a variable')
  .refine((name) => !name.startsWith('EPHEMERA_'), 'names with EPHEMERA_ are taken');

const key = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/, 'is no key: letters, digits, . _ / -');

const atMost = (max: number) => (record: Record<string, string>) =>
  Object.keys(record).length <= max;

/** The body of `POST /v1/instances`; unknown fields are refused. */
export const createRequestSchema = z
  .strictObject({
    template: z.string().optional().openapi({ description: 'The default template where absent.' }),
    timeout: z.number().optional().openapi({
      description: "Seconds, whole, from 1 to the template's maximum, counted from ready.",
    }),
    env: z
      .record(variable, z.string().max(32_768))
      .refine(atMost(64), 'at most 64 variables')
      .optional(),
    metadata: z.record(key, z.string().max(1024)).refine(atMost(32), 'at most 32 keys').optional(),
  })
  .openapi('CreateInstance');

export type CreateRequest = z.infer<typeof createRequestSchema>;
