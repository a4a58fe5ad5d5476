import { AsyncLocalStorage } from 'node:async_hooks';

/** The position of a span in its trace, as the header fields of W3C Trace Context write it. */
export interface TraceContext {
  readonly traceparent: string;
  readonly tracestate?: string | undefined;
}

/** By the semantic conventions of OpenTelemetry. Values that are undefined are left out. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean | undefined>>;

export interface SpanOptions {
  readonly kind: 'internal' | 'server' | 'client' | 'consumer';
  /** The span that caused this one. Without it, a trace begins here. An invalid one is ignored. */
  readonly parent?: TraceContext | undefined;
  /** A span of another trace that has to do with this one. An invalid one is ignored. */
  readonly link?: TraceContext | undefined;
  readonly attributes?: SpanAttributes;
}

/** One operation of a trace. */
export interface Span {
  /** What the next process needs to continue the trace. */
  readonly context: TraceContext;
  setAttributes(attributes: SpanAttributes): void;
  /**
   * Ends it. Call it once.
   * @param errorType why the operation failed, of few different values; undefined if it did not
   */
  end(errorType?: string): void;
}

export interface Tracing {
  startSpan(name: string, options: SpanOptions): Span;
  /** Sends the spans that wait, for at most `timeoutMs`. */
  close(timeoutMs: number): Promise<void>;
}

/** How traces are recorded. The exporter and the resource read further OTEL_* variables themselves. */
export interface TracingConfig {
  /** As OTEL_TRACES_SAMPLER. */
  readonly sampler: (typeof SAMPLERS)[number];
  /** The part of the traces that a sampler with a ratio records, 0 to 1. */
  readonly ratio: number;
  /** Spans that may wait. Further ones are dropped. */
  readonly maxQueueSize: number;
  /** Spans in one request to the collector. */
  readonly maxExportBatchSize: number;
  /** Time between two requests to the collector while fewer spans wait, milliseconds. */
  readonly scheduleDelay: number;
}

export const SAMPLERS = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const;

/** What the spans of a process have in common. */
export interface TracedService {
  /** The service name, unless OTEL_SERVICE_NAME is set: `ephemera-proxy`. */
  readonly name: string;
  readonly version: string;
  readonly namespace: string;
}

const current = new AsyncLocalStorage<TraceContext>();

/** The span in which the caller runs, if there is one. */
export function currentContext(): TraceContext | undefined {
  return current.getStore();
}

/** Its `traceparent`, for a job that another process will run. */
export function currentTraceparent(): string | undefined {
  return current.getStore()?.traceparent;
}

/** Runs `work` within a span of another process, also behind each `await`. */
export function withContext<T>(context: TraceContext, work: () => T): T {
  return current.run(context, work);
}

/**
 * Runs `work` within a span of its own, also behind each `await`. The span ends with the work, and
 * fails with the name of its error.
 *
 * @param tracing undefined: `work` runs without a span
 */
export async function inSpan<T>(
  tracing: Tracing | undefined,
  name: string,
  options: SpanOptions,
  work: (span: Span | undefined) => Promise<T>,
): Promise<T> {
  if (tracing === undefined) return work(undefined);
  const span = tracing.startSpan(name, options);
  try {
    const result = await withContext(span.context, () => work(span));
    span.end();
    return result;
  } catch (error) {
    span.end(error instanceof Error ? error.name : typeof error);
    throw error;
  }
}
