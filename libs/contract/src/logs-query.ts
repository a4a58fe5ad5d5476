import { z } from './openapi-zod.ts';

/** A boolean query parameter. */
export const flagSchema = (byDefault: '0' | '1') =>
  z
    .enum(['0', '1', 'true', 'false'], 'must be 1 or 0')
    .default(byDefault)
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

/** Current resource usage of an instance. */
export const usageSchema = z
  .object({
    readAt: z.iso.datetime({ offset: true }).describe('When the usage was read.'),
    cpuSeconds: z.number().openapi({ description: 'CPU time since the start of the container.' }),
    memory: z
      .object({ used: z.int().describe('Used memory.'), limit: z.int().describe('Memory limit.') })
      .openapi({ description: 'Bytes, without the page cache.' }),
    pids: z.int().describe('Number of processes and threads.'),
    network: z
      .object({
        received: z.int().describe('Received bytes.'),
        sent: z.int().describe('Sent bytes.'),
      })
      .openapi({ description: 'Bytes since the start of the container.' }),
  })
  .openapi('Usage');

export type UsageResource = z.infer<typeof usageSchema>;
