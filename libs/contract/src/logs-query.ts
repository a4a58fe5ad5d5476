import { z } from './openapi-zod.ts';

/** A query parameter that is on or off. */
export const flagSchema = (preset: '0' | '1') =>
  z
    .enum(['0', '1', 'true', 'false'], 'must be 1 or 0')
    .default(preset)
    .transform((text) => text === '1' || text === 'true');

/** The query of `GET /v1/instances/{id}/logs`. */
export const logsQuerySchema = z.strictObject({
  follow: flagSchema('0').openapi({ description: 'Continue until the instance ends.' }),
  tail: z.coerce
    .number({ error: 'must be a number' })
    .int()
    .min(0)
    .max(100_000)
    .optional()
    .openapi({ description: 'Number of lines, counted from the end. Default: all stored lines.' }),
  timestamps: flagSchema('0').openapi({ description: 'Begin each line with its time (RFC 3339).' }),
});

export type LogsQuery = z.infer<typeof logsQuerySchema>;

/** What an instance uses at the moment. */
export const usageSchema = z
  .object({
    readAt: z.iso.datetime({ offset: true }),
    cpuSeconds: z.number().openapi({ description: 'CPU time since the start of the container.' }),
    memory: z
      .object({ used: z.int(), limit: z.int() })
      .openapi({ description: 'Bytes, without cached files.' }),
    pids: z.int(),
    network: z
      .object({ received: z.int(), sent: z.int() })
      .openapi({ description: 'Bytes since the start of the container.' }),
  })
  .openapi('Usage');
