import { z } from './openapi-zod.ts';

export const healthSchema = z.object({ status: z.literal('ok') }).openapi('Health');

export const readinessSchema = z
  .object({ ready: z.boolean(), parts: z.record(z.string(), z.boolean()) })
  .openapi('Readiness');

export const partReadinessSchema = z.object({ ready: z.boolean() }).openapi('PartReadiness');
