import { z } from './openapi-zod.ts';

export const healthSchema = z
  .object({ status: z.literal('ok').describe('Always `ok`.') })
  .openapi('Health');

export const readinessSchema = z
  .object({
    ready: z.boolean().describe('Whether every part is ready.'),
    parts: z.record(z.string(), z.boolean()).describe('Readiness of each part, by name.'),
    config: z
      .object({
        isCurrent: z
          .boolean()
          .describe(
            'Whether the configuration file as it is now is in force. It does not affect `ready`.',
          ),
        issues: z
          .array(
            z.object({
              path: z.string().describe('Dotted path of the field. Empty for the whole file.'),
              line: z.int().optional().openapi({ description: 'Line in the file, from 1.' }),
              detail: z.string().describe('What is wrong.'),
            }),
          )
          .describe('The errors of the file. If there are any, an earlier version is in force.'),
      })
      .openapi('ConfigStatus')
      .describe('State of the configuration file.'),
  })
  .openapi('Readiness');

export const partReadinessSchema = z
  .object({ ready: z.boolean().describe('Whether this part is ready.') })
  .openapi('PartReadiness');

export const certificateSchema = z
  .object({ domain: z.string().describe('The host name of the request.') })
  .openapi('Certificate');
