import { z } from './openapi-zod.ts';

export const healthSchema = z
  .object({ status: z.literal('ok').describe('Always `ok`.') })
  .openapi('Health');

export const readinessSchema = z
  .object({
    ready: z.boolean().describe('Whether every part is ready.'),
    parts: z.record(z.string(), z.boolean()).describe('Readiness of each part, by name.'),
  })
  .openapi('Readiness');

export const partReadinessSchema = z
  .object({ ready: z.boolean().describe('Whether this part is ready.') })
  .openapi('PartReadiness');

export const certificateSchema = z
  .object({ domain: z.string().describe('The host name of the request.') })
  .openapi('Certificate');
