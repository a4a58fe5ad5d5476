import { landingPathSchema } from './create-request.ts';
import { z } from './openapi-zod.ts';

/** The body of `POST /v1/links`. Unknown fields are refused. */
export const linkRequestSchema = z
  .strictObject({
    template: z
      .string()
      .optional()
      .openapi({ description: 'Name of the template. Default: the default template.' }),
    timeout: z.number().optional().openapi({
      description: 'Time to live of each instance in seconds, up to `maxTimeout` of the template.',
    }),
    path: landingPathSchema.optional().openapi({
      description: 'Path at which visitors open their instances. Default: `open` of the template.',
    }),
    uses: z.int().min(1).max(100_000).default(1).openapi({
      description: 'Number of instances that the link may start.',
    }),
    validFor: z
      .int()
      .min(1)
      .max(366 * 86_400)
      .default(86_400)
      .openapi({ description: 'Seconds from now until the link expires.' }),
  })
  .openapi('CreateLink');

export type LinkRequest = z.input<typeof linkRequestSchema>;

/** A signed link. No other answer contains its URL. */
export const linkSchema = z
  .object({
    id: z.string().describe('Id of the link.'),
    url: z
      .url()
      .openapi({ description: 'The link. Everyone who has it may start instances with it.' }),
    template: z.string().describe('Name of the template.'),
    timeout: z.number().optional().describe('Time to live of each instance in seconds.'),
    uses: z.int().describe('Number of instances that the link may start.'),
    expiresAt: z.string().describe('When the link expires.'),
  })
  .openapi('Link');

export type LinkResource = z.infer<typeof linkSchema>;
