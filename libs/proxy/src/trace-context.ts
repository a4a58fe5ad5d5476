import type { IncomingMessage } from 'node:http';
import type { SpanAttributes, TraceContext, Tracing } from '@ephemera/process';
import { withContext } from '@ephemera/process';
import type { Middleware } from 'koa';
import { dropNominated } from './data-plane/header-fields.ts';
import type { RequestFacts, RequestTrace } from './data-plane/routed-request.ts';
import { type InboundRequest, isSecure } from './data-plane/upstream-request.ts';

const TRACE_FIELDS: ReadonlySet<string> = new Set(['traceparent', 'tracestate']);

/** Longest `tracestate` that is passed on, characters (W3C Trace Context, section 3.3.1.5). */
const MAX_TRACESTATE = 512;

/** Longest path in a span, characters. */
const MAX_PATH = 500;

/** The methods of RFC 9110 and PATCH. Spans have no others, so that clients cannot create names. */
const METHODS: ReadonlySet<string> = new Set(
  'GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT'.split(' '),
);

/** The trace of a request, as its header fields say. A field that was sent twice is invalid. */
function contextOf({ headers }: IncomingMessage): TraceContext | undefined {
  const { traceparent, tracestate } = headers;
  if (typeof traceparent !== 'string') return undefined;
  const isShort = typeof tracestate === 'string' && tracestate.length <= MAX_TRACESTATE;
  return { traceparent, tracestate: isShort ? tracestate : undefined };
}

/**
 * Continues the trace of a client in what the following handlers do.
 * @param isTrusted whether a client may decide which traces are recorded
 */
export function continueTrace(
  isTrusted: (req: IncomingMessage) => boolean = () => true,
): Middleware {
  return (ctx, next) => {
    const context = isTrusted(ctx.req) ? contextOf(ctx.req) : undefined;
    return context ? withContext(context, next) : next();
  };
}

/**
 * Returns a function that starts the span of a request for an instance. The instance gets the span as
 * its parent.
 *
 * The trace of a trusted peer is continued. Any other client could have every request of its own
 * recorded, and join its requests to traces of others, so a new trace begins, with a link to the
 * client's (W3C Trace Context, sections 3.4 and 6).
 */
export function requestTracer(
  tracing: Tracing,
  prefix: string,
): (req: IncomingMessage, request: InboundRequest) => RequestTrace {
  return (req, request) => {
    const method = METHODS.has(request.method) ? request.method : undefined;
    const isPathForm = request.address.prefix !== '';
    const route = isPathForm ? `/${prefix}/{id}/*` : undefined;
    const context = contextOf(req);
    const span = tracing.startSpan([method ?? 'HTTP', route].filter(Boolean).join(' '), {
      kind: 'server',
      ...(request.connection.isTrusted
        ? { parent: context }
        : { link: context && { traceparent: context.traceparent } }),
      attributes: {
        'http.request.method': method ?? '_OTHER',
        'http.route': route,
        // Without the query, which may contain secrets.
        'url.path': (req.url ?? '').split('?', 1)[0]?.slice(0, MAX_PATH),
        'url.scheme': isSecure(request.head.forwarded?.proto, request.site) ? 'https' : 'http',
        'network.protocol.version': req.httpVersion,
        'ephemera.instance.id': request.address.id,
      },
    });
    return {
      request: withTraceFields(request, span.context),
      end(facts) {
        span.setAttributes(attributesOf(facts));
        span.end(errorOf(facts));
      },
    };
  };
}

/** The request with other trace fields. The lines of its head have no others. */
function withTraceFields(
  request: InboundRequest,
  { traceparent, tracestate }: TraceContext,
): InboundRequest {
  let lines = `${dropNominated(request.head.lines, TRACE_FIELDS)}traceparent: ${traceparent}\r\n`;
  if (tracestate !== undefined) lines += `tracestate: ${tracestate}\r\n`;
  return { ...request, head: { ...request.head, lines } };
}

function attributesOf({ template, status, upstreamDuration, bytes }: RequestFacts): SpanAttributes {
  return {
    'http.response.status_code': status,
    'http.response.body.size': bytes,
    'ephemera.template': template,
    'ephemera.upstream.duration_ms': upstreamDuration,
  };
}

/** A 4xx is no error of the server. */
function errorOf({ status }: RequestFacts): string | undefined {
  if (status === undefined) return 'client_disconnected';
  return status >= 500 ? String(status) : undefined;
}
