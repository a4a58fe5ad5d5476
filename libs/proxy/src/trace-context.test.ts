import type { IncomingMessage } from 'node:http';
import type { SpanOptions, Tracing } from '@ephemera/process';
import { expect, test } from 'vitest';
import type { InboundRequest } from './data-plane/upstream-request.ts';
import { requestTracer } from './trace-context.ts';

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

/** The options of the span of a request with this `tracestate`. */
function spanOf(tracestate: string, isTrusted: boolean): SpanOptions | undefined {
  let seen: SpanOptions | undefined;
  const tracing: Tracing = {
    startSpan(_name, options) {
      seen = options;
      const context = { traceparent: TRACEPARENT };
      return { context, setAttributes: () => undefined, end: () => undefined };
    },
    close: () => Promise.resolve(),
  };
  const headers = { traceparent: TRACEPARENT, tracestate };
  const request = {
    ...{ method: 'GET', address: { id: 'a1', prefix: '' }, site: {} },
    ...{ connection: { isTrusted }, head: { lines: '', forwarded: { proto: 'https' } } },
  };
  requestTracer(tracing, 'demo')(
    { headers, url: '/', httpVersion: '1.1' } as unknown as IncomingMessage,
    request as unknown as InboundRequest,
  );
  return seen;
}

test('a link to the trace of a client has no tracestate, which may be long', () => {
  expect(spanOf('a=b', false)?.link).toEqual({ traceparent: TRACEPARENT });
});

test('a tracestate of up to 512 characters is continued', () => {
  const longest = `a=${'x'.repeat(510)}`;
  expect(spanOf(longest, true)?.parent).toEqual({ traceparent: TRACEPARENT, tracestate: longest });
  expect(spanOf(`${longest}x`, true)?.parent?.tracestate).toBeUndefined();
});
