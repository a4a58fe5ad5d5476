import { SAMPLERS } from '@ephemera/process';
import type { TracingConfig } from '@ephemera/process';
import { z } from 'zod';
import { count } from './environment.ts';

const endpoint = z
  .url({ protocol: /^https?$/, error: 'must be an http:// or https:// address' })
  .optional();

/**
 * The variables that turn traces on and that this code reads. Names, defaults and meanings are those
 * of the specification of OpenTelemetry. Its exporter reads further ones.
 */
export const TRACING = {
  OTEL_EXPORTER_OTLP_ENDPOINT: endpoint.describe(
    'Address of an OpenTelemetry collector that accepts OTLP over HTTP, such as `http://localhost:4318`. Traces go to `/v1/traces` below it. Without this variable or the next, no traces are recorded. `OTEL_EXPORTER_OTLP_HEADERS`, `_TIMEOUT`, `_COMPRESSION`, `_CERTIFICATE`, `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` apply too.',
  ),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: endpoint.describe(
    'Address to which traces are sent, as it is. Takes precedence over `OTEL_EXPORTER_OTLP_ENDPOINT`.',
  ),
  OTEL_EXPORTER_OTLP_PROTOCOL: z
    .enum(['http/protobuf', 'http/json'], { error: 'must be http/protobuf or http/json' })
    .optional()
    .describe('Both send OTLP as JSON over HTTP. `grpc` is not supported.'),
  OTEL_TRACES_SAMPLER: z
    .enum(SAMPLERS)
    .default('parentbased_always_on')
    .describe(
      'Which traces are recorded. The samplers `parentbased_…` follow the decision in a `traceparent` that is continued.',
    ),
  OTEL_TRACES_SAMPLER_ARG: z.coerce
    .number({ error: 'must be a number' })
    .min(0, 'must be at least 0')
    .max(1, 'must be at most 1')
    .default(1)
    .describe('Part of the traces that a sampler `…traceidratio` records, from 0 to 1.'),
  OTEL_BSP_SCHEDULE_DELAY: count(5_000, 1, 3_600_000).describe(
    'Milliseconds between two deliveries of spans.',
  ),
  OTEL_BSP_MAX_QUEUE_SIZE: count(2_048, 1, 1_000_000).describe(
    'Spans that may wait for a delivery. Further ones are dropped.',
  ),
  OTEL_BSP_MAX_EXPORT_BATCH_SIZE: count(512, 1, 1_000_000).describe(
    'Maximum number of spans in one delivery.',
  ),
  OTEL_SDK_DISABLED: z
    .string()
    .optional()
    .describe('`true`: no traces are recorded, whatever the other variables say.'),
};

type TracingSettings = z.infer<z.ZodObject<typeof TRACING>>;

/** How traces are recorded; undefined if they are not. */
export function tracingOf(input: TracingSettings): TracingConfig | undefined {
  const isConfigured =
    input.OTEL_EXPORTER_OTLP_ENDPOINT !== undefined ||
    input.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT !== undefined;
  if (!isConfigured || input.OTEL_SDK_DISABLED?.trim().toLowerCase() === 'true') return undefined;
  return {
    sampler: input.OTEL_TRACES_SAMPLER,
    ratio: input.OTEL_TRACES_SAMPLER_ARG,
    maxQueueSize: input.OTEL_BSP_MAX_QUEUE_SIZE,
    maxExportBatchSize: input.OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
    scheduleDelay: input.OTEL_BSP_SCHEDULE_DELAY,
  };
}
