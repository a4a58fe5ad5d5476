import type { ReadyRoute } from '@ephemera/domain';
import type { Address } from './address.ts';
import { type ClientConnection, forwardedLines } from './client-connection.ts';
import type { RequestHead } from './request-head.ts';
import {
  maskOrigin,
  readOuterPrefix,
  type RewriteContext,
  toInstance,
  translateTargets,
} from './translate-address.ts';

/** How visitors reach the public port, unless a trusted peer says otherwise. */
export interface Site {
  /** Whether visitors use TLS. */
  readonly secure: boolean;
  /** The port in the visitors' addresses of the host form, as in `:8080`; empty if there is none. */
  readonly domainPort: string;
  /** What the visitors' paths of the path form begin with, as in `/outer`; empty at the root. */
  readonly publicPath: string;
}

/** An inbound request, with everything that forwarding depends on. */
export interface InboundRequest {
  readonly method: string;
  /** The target as sent. */
  readonly target: string;
  readonly head: RequestHead;
  readonly address: Address;
  readonly connection: ClientConnection;
  readonly site: Site;
}

/** Builds the head of the upstream request, with the proxy's own framing and connection fields. */
export function upstreamHead(request: InboundRequest, route: ReadyRoute, port: number): string {
  const { head, method } = request;
  let own = 'connection: keep-alive\r\n';
  if (head.contentLength !== undefined) own += `content-length: ${head.contentLength}\r\n`;
  else if (head.chunked) own += 'transfer-encoding: chunked\r\n';
  if (head.expectsContinue) own += 'expect: 100-continue\r\n';
  return `${method} ${upstreamTarget(request, route)} HTTP/1.1\r\n${upstreamLines(request, route, port)}${own}\r\n`;
}

/** The target that the instance sees, in origin form. */
export function upstreamTarget(request: InboundRequest, route: ReadyRoute): string {
  const { target, address, site } = request;
  if (!route.stripPrefix) return address.prefix === '' ? target : site.publicPath + target;
  return address.path.startsWith('/') ? address.path : `/${address.path}`;
}

/** Host, the end-to-end lines, and the forwarded lines. A prefix that was stripped is sent. */
export function upstreamLines(request: InboundRequest, route: ReadyRoute, port: number): string {
  const { head, connection } = request;
  const isMasked = route.hostHeader === 'mask';
  const host = isMasked || head.host === '' ? upstreamAuthority(route, port) : head.host;
  const lines =
    isMasked || head.hasReference ? translateLines(head.lines, request, route, port) : head.lines;
  return (
    `host: ${host}\r\n${lines}` +
    forwardedLines(
      connection,
      head.host || host,
      strippedPrefix(request, route),
      head.forwarded,
      route.forwardIdentity,
    )
  );
}

/** The request fields that may contain the visitor's own address. */
const REFERENCE_LINES = /^(destination|if|origin|referer): (.*)\r\n/gim;

function translateLines(
  lines: string,
  request: InboundRequest,
  route: ReadyRoute,
  port: number,
): string {
  const context = rewriteContextOf(request, route, port);
  const isMasked = route.hostHeader === 'mask';
  return lines.replace(REFERENCE_LINES, (line: string, name: string, value: string) => {
    switch (name.toLowerCase()) {
      case 'destination':
        return `${name}: ${toInstance(value, context)}\r\n`;
      case 'if':
        return `${name}: ${translateTargets(value, (target) => toInstance(target, context))}\r\n`;
      default:
        return isMasked ? `${name}: ${maskOrigin(value, context)}\r\n` : line;
    }
  });
}

/**
 * The instance's own authority: the Host of a template that masks it. Without port 80, as clients
 * write it, because applications compare it with the authority of `Origin`.
 */
function upstreamAuthority({ address }: ReadyRoute, port: number): string {
  return (address.includes(':') ? `[${address}]` : address) + (port === 80 ? '' : `:${port}`);
}

/** What the visitor's path has before the path that this proxy sees. */
export function outerPrefix({ head, address, site }: InboundRequest): string {
  const prefix = head.forwarded?.prefix;
  if (prefix !== undefined) return readOuterPrefix(prefix);
  return address.prefix === '' ? '' : site.publicPath;
}

/** What the visitor's path has before the path that the instance sees. */
function strippedPrefix(request: InboundRequest, { stripPrefix }: ReadyRoute): string {
  const { address, site } = request;
  if (stripPrefix) return outerPrefix(request) + address.prefix;
  // The instance sees the path of the public URL.
  return address.prefix !== '' && site.publicPath !== '' ? '' : outerPrefix(request);
}

/** Whether the visitor uses TLS. @param proto of a trusted peer; some write `wss` for a WebSocket */
export function isSecure(proto: string | undefined, site: Pick<Site, 'secure'>): boolean {
  return proto === undefined ? site.secure : /^(?:https|wss)\b/i.test(proto);
}

/** The host of the visitor's URL, with its port. Of a list, the first is the visitor's. */
function visitorHost({ head, address, site }: InboundRequest, scheme: string): string {
  const [named = ''] = head.forwarded?.host?.split(',', 1) ?? [];
  const host = named.trim() || head.host;
  if (/:\d+$/.test(host)) return host;
  const [port = ''] = head.forwarded?.port?.split(',', 1) ?? [];
  // Load balancers that forward to port 80 name it for TLS too.
  if (/^\s*\d{1,5}\s*$/.test(port) && !(scheme === 'https' && port.trim() === '80')) {
    return `${host}:${port.trim()}`;
  }
  const isConfigured =
    address.prefix === '' && host === head.host && (scheme === 'https') === site.secure;
  return isConfigured ? host + site.domainPort : host;
}

/**
 * Returns the addresses that translation needs. They are computed on demand, because most responses
 * contain no address.
 */
export function rewriteContextOf(
  request: InboundRequest,
  route: ReadyRoute,
  port: number,
): RewriteContext {
  return new RequestAddresses(request, route, port);
}

class RequestAddresses implements RewriteContext {
  readonly #request: InboundRequest;
  readonly #route: ReadyRoute;
  readonly #port: number;

  constructor(request: InboundRequest, route: ReadyRoute, port: number) {
    this.#request = request;
    this.#route = route;
    this.#port = port;
  }

  get sharesOrigin(): boolean {
    return this.#request.address.prefix !== '';
  }

  get isBare(): boolean {
    return this.sharesOrigin && !this.#request.address.path.startsWith('/');
  }

  get publicPrefix(): string {
    return outerPrefix(this.#request) + this.#request.address.prefix;
  }

  /** The instance may know its prefix from X-Forwarded-Prefix, `{basePath}`, or the template. */
  get knownPrefixes(): readonly string[] {
    const { address, site } = this.#request;
    const own = this.sharesOrigin ? [site.publicPath + address.prefix, address.prefix] : [];
    return [this.publicPrefix, ...own];
  }

  get instancePrefix(): string {
    const { address, site } = this.#request;
    return this.#route.stripPrefix || !this.sharesOrigin ? '' : site.publicPath + address.prefix;
  }

  get origin(): string {
    const { head, site } = this.#request;
    const scheme = isSecure(head.forwarded?.proto, site) ? 'https' : 'http';
    const url = `${scheme}://${visitorHost(this.#request, scheme)}`;
    return URL.parse(url)?.origin ?? url;
  }

  get instanceOrigin(): string {
    const isMasked = this.#route.hostHeader === 'mask';
    return `http://${isMasked ? this.upstream : this.#request.head.host}`;
  }

  get upstream(): string {
    return upstreamAuthority(this.#route, this.#port);
  }

  get hosts(): readonly string[] {
    const { origin } = this;
    return [origin.slice(origin.indexOf('//') + 2), this.#request.head.host];
  }

  get requested(): string | undefined {
    const { method, address } = this.#request;
    return method === 'GET' || method === 'HEAD' ? this.publicPrefix + address.path : undefined;
  }
}
