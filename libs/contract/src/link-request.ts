import { z } from './openapi-zod.ts';

/** The body of `POST /v1/links`; unknown fields are refused. */
export const linkRequestSchema = z
  .strictObject({
    template: z.string().optional().openapi({ description: 'The default template where absent.' }),
    timeout: z.number().optional().openapi({
      description: "Seconds that each instance lives, up to the template's maximum.",
    }),
    uses: z.int().min(1).max(100_000).default(1).openapi({
      description: 'How many instances it starts.',
    }),
    validFor: z
      .int()
      .min(1)
      .max(366 * 86_400)
      .default(86_400)
      .openapi({ description: 'Seconds from now until it expires.' }),
  })
  .openapi('CreateLink');

export type LinkRequest = z.input<typeof linkRequestSchema>;

/** A signed link, told only here. */
export const linkSchema = z
  .object({
    id: z.string(),
    url: z.url().openapi({ description: 'Whoever has it may start so many instances by it.' }),
    template: z.string(),
    timeout: z.number().optional(),
    uses: z.int(),
    expiresAt: z.string(),
  })
  .openapi('Link');

export type LinkResource = z.infer<typeof linkSchema>;
