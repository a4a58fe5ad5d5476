import { z } from './openapi-zod.ts';

/** The body of `POST /v1/instances/{id}/renew`. Unknown fields are refused. */
export const renewRequestSchema = z
  .strictObject({
    timeout: z
      .number()
      .optional()
      .openapi({ description: 'New time to live in whole seconds, counted from now.' }),
    expiresAt: z.iso
      .datetime({ offset: true, error: 'must be a time such as 2030-01-31T12:00:00Z' })
      .optional()
      .openapi({ description: 'The new deadline.' }),
    shorten: z.boolean().optional().openapi({
      description:
        'Whether the deadline may move earlier. Without it, a renewal to an earlier deadline gets 409 and changes nothing.',
    }),
  })
  .refine(({ timeout, expiresAt }) => (timeout === undefined) !== (expiresAt === undefined), {
    error: 'give either timeout or expiresAt',
  })
  .openapi('RenewInstance');

export type RenewRequest = z.infer<typeof renewRequestSchema>;
