import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';

type AttributeValue = string | number | boolean | undefined;

/** A span as a collector receives it. */
export interface ReceivedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  /** 1 internal, 2 server, 3 client, 5 consumer. */
  readonly kind: number;
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  /** The trace ids of its links. */
  readonly links: readonly string[];
  /** Whether it failed. */
  readonly isError: boolean;
  /** Of its process. */
  readonly resource: Readonly<Record<string, AttributeValue>>;
}

/** A collector of traces: OTLP as JSON over HTTP. */
export interface OtlpReceiver {
  readonly url: string;
  /** All spans so far. */
  readonly spans: readonly ReceivedSpan[];
  /** All bodies so far, as they arrived. */
  readonly bodies: readonly string[];
  /** The value of a header field in the last request. */
  header(name: string): string | undefined;
  stop(): Promise<void>;
}

interface Attribute {
  readonly key: string;
  readonly value: {
    readonly stringValue?: string;
    readonly intValue?: number | string;
    readonly doubleValue?: number;
    readonly boolValue?: boolean;
  };
}
interface WireSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly kind: number;
  readonly attributes?: readonly Attribute[];
  readonly links?: readonly { readonly traceId: string }[];
  readonly status?: { readonly code?: number };
}
interface Body {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes?: readonly Attribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly WireSpan[] }[];
  }[];
}

/** @param port 0: a free one */
export async function startOtlpReceiver(port = 0): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const bodies: string[] = [];
  let headers: NodeJS.Dict<string | string[]> = {};
  const server: Server = createServer((req, res) => {
    headers = req.headers;
    void (async () => {
      const body = (await json(req)) as Body;
      if (req.method !== 'POST' || req.url !== '/v1/traces') {
        res.writeHead(404).end();
        return;
      }
      bodies.push(JSON.stringify(body));
      for (const { resource, scopeSpans } of body.resourceSpans) {
        const of = recordOf(resource.attributes);
        spans.push(...scopeSpans.flatMap((scope) => scope.spans.map((span) => read(span, of))));
      }
      res.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    })().catch(() => res.destroy());
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    bodies,
    header: (name) => [headers[name]].flat()[0],
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function read(span: WireSpan, resource: ReceivedSpan['resource']): ReceivedSpan {
  const { name, traceId, spanId, parentSpanId, kind, attributes, links = [], status } = span;
  return {
    ...{ name, traceId, spanId, parentSpanId, kind, resource },
    attributes: recordOf(attributes),
    links: links.map((link) => link.traceId),
    isError: status?.code === 2,
  };
}

function recordOf(attributes: readonly Attribute[] = []): Record<string, AttributeValue> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => {
      const { stringValue, intValue, doubleValue, boolValue } = value;
      const number = intValue === undefined ? doubleValue : Number(intValue);
      return [key, stringValue ?? number ?? boolValue];
    }),
  );
}
