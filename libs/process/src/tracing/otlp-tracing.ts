import { randomUUID } from 'node:crypto';
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Context, Span as OtelSpan, SpanContext, TraceState } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import {
  defaultResource,
  detectResources,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceNameEnvDetector,
} from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Sampler, SpanExporter } from '@opentelemetry/sdk-trace';
import type { Logger } from '../logger.ts';
import type {
  Span,
  SpanAttributes,
  SpanOptions,
  TraceContext,
  TracedService,
  Tracing,
  TracingConfig,
} from './tracing.ts';

/**
 * Records traces and sends them as OTLP in JSON over HTTP. The exporter reads the address, the header
 * fields, the certificates and the timeout from OTEL_EXPORTER_OTLP_*, and the resource
 * OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES. Nothing is registered globally.
 */
export function createOtlpTracing(
  config: TracingConfig,
  { name, version, namespace }: TracedService,
  logger: Pick<Logger, 'warn' | 'info'>,
): Tracing {
  const { maxQueueSize, maxExportBatchSize, scheduleDelay } = config;
  const processor = new BatchSpanProcessor({
    exporter: withWarnings(new OTLPTraceExporter(), logger),
    ...{ maxQueueSize, maxExportBatchSize, scheduledDelayMillis: scheduleDelay },
  });
  const resource = defaultResource()
    .merge(
      resourceFromAttributes({
        'service.name': name,
        'service.version': version,
        'service.namespace': namespace,
        'service.instance.id': randomUUID(),
      }),
    )
    .merge(detectResources({ detectors: [resourceAttributesEnvDetector, serviceNameEnvDetector] }));
  const provider = new TracerProvider({
    resource,
    sampler: samplerOf(config),
    spanProcessors: [processor],
  });
  const tracer = provider.getTracer('ephemera', version);
  return {
    startSpan(spanName, { kind, parent, link, attributes }) {
      const linked = link && readContext(link);
      const options = {
        kind: KINDS[kind],
        ...(attributes && { attributes }),
        ...(linked && { links: [{ context: linked }] }),
      };
      return new RecordedSpan(tracer.startSpan(spanName, options, contextOf(parent)));
    },
    async close(timeoutMs) {
      let timer: NodeJS.Timeout | undefined;
      const timeout = new Promise((resolve) => (timer = setTimeout(resolve, timeoutMs)));
      // What could not be sent was reported.
      await Promise.race([provider.shutdown().catch(() => undefined), timeout]);
      clearTimeout(timer);
    },
  };
}

const KINDS: Readonly<Record<SpanOptions['kind'], SpanKind>> = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  consumer: SpanKind.CONSUMER,
};

class RecordedSpan implements Span {
  readonly #span: OtelSpan;

  constructor(span: OtelSpan) {
    this.#span = span;
  }

  get context(): TraceContext {
    const { traceId, spanId, traceFlags, traceState } = this.#span.spanContext();
    const flags = traceFlags.toString(16).padStart(2, '0');
    return {
      traceparent: `00-${traceId}-${spanId}-${flags}`,
      tracestate: traceState?.serialize(),
    };
  }

  setAttributes(attributes: SpanAttributes): void {
    this.#span.setAttributes(attributes);
  }

  end(errorType?: string): void {
    if (errorType !== undefined) {
      this.#span.setAttribute('error.type', errorType);
      this.#span.setStatus({ code: SpanStatusCode.ERROR });
    }
    this.#span.end();
  }
}

function contextOf(parent: TraceContext | undefined): Context {
  const spanContext = parent && readContext(parent);
  return spanContext ? trace.setSpanContext(ROOT_CONTEXT, spanContext) : ROOT_CONTEXT;
}

/** Version 00 has four fields. Later versions may have more (W3C Trace Context, section 3.2.2). */
const TRACEPARENT = /^(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Reads the header fields. Undefined if they are invalid. */
function readContext({ traceparent, tracestate }: TraceContext): SpanContext | undefined {
  const [, version, traceId = '', spanId = '', flags = '', rest] =
    TRACEPARENT.exec(traceparent) ?? [];
  if (version === undefined || (version === '00' && rest !== undefined)) return undefined;
  // Only the sampled flag is known.
  const traceFlags = Number.parseInt(flags, 16) & 1;
  const context: SpanContext = { traceId, spanId, traceFlags, isRemote: true };
  if (!trace.isSpanContextValid(context)) return undefined;
  return tracestate === undefined
    ? context
    : { ...context, traceState: new ReceivedState(tracestate) };
}

/** The `tracestate` of other systems. It is passed on as it is, and nothing is added. */
class ReceivedState implements TraceState {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  serialize = () => this.#text;
  get = () => undefined;
  set = () => this;
  unset = () => this;
}

function samplerOf({ sampler, ratio }: TracingConfig): Sampler {
  switch (sampler) {
    case 'always_on':
      return new AlwaysOnSampler();
    case 'always_off':
      return new AlwaysOffSampler();
    case 'traceidratio':
      return new TraceIdRatioBasedSampler(ratio);
    case 'parentbased_always_on':
      return new ParentBasedSampler({ root: new AlwaysOnSampler() });
    case 'parentbased_always_off':
      return new ParentBasedSampler({ root: new AlwaysOffSampler() });
    case 'parentbased_traceidratio':
      return new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) });
  }
}

/** Logs the first of several failed exports, and the first success after them. */
function withWarnings(exporter: SpanExporter, logger: Pick<Logger, 'warn' | 'info'>): SpanExporter {
  let isFailing = false;
  return {
    export(spans, onResult) {
      exporter.export(spans, (result) => {
        const hasFailed = result.error !== undefined;
        if (hasFailed && !isFailing)
          logger.warn({ err: result.error }, 'traces cannot be delivered; their spans are dropped');
        if (!hasFailed && isFailing) logger.info('traces are delivered again');
        isFailing = hasFailed;
        onResult(result);
      });
    },
    forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
    shutdown: () => exporter.shutdown(),
  };
}
