import type { ReadyRoute } from '@ephemera/domain';
import type { Address } from './address.ts';
import { type ClientConnection, forwardedLines } from './client-connection.ts';
import type { RequestHead } from './request-head.ts';
import type { RewriteContext } from './rewrite-response.ts';

/** An inbound request, with everything that forwarding depends on. */
export interface InboundRequest {
  readonly method: string;
  /** The target as sent. */
  readonly target: string;
  readonly head: RequestHead;
  readonly address: Address;
  readonly connection: ClientConnection;
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
export function upstreamTarget({ target, address }: InboundRequest, route: ReadyRoute): string {
  if (!route.stripPrefix) return target;
  return address.path.startsWith('/') ? address.path : `/${address.path}`;
}

/** Host, the end-to-end lines, and the forwarded lines. The prefix is sent if it was stripped. */
export function upstreamLines(request: InboundRequest, route: ReadyRoute, port: number): string {
  const { head, address, connection } = request;
  const host = route.hostHeader === 'mask' ? upstreamAuthority(route, port) : head.host;
  const prefix = route.stripPrefix ? address.prefix : '';
  return (
    `host: ${host}\r\n${head.lines}` +
    forwardedLines(connection, head.host, prefix, head.forwarded, route.forwardIdentity)
  );
}

/** The instance's own authority: the Host of a template that masks it. */
function upstreamAuthority(route: ReadyRoute, port: number): string {
  return route.address.includes(':') ? `[${route.address}]:${port}` : `${route.address}:${port}`;
}

/** Returns the addresses that `rewriteResponse` needs. */
export function rewriteContextOf(
  { address, head }: InboundRequest,
  route: ReadyRoute,
  port: number,
): RewriteContext {
  return {
    prefix: address.prefix,
    isBare: address.prefix !== '' && !address.path.startsWith('/'),
    stripped: route.stripPrefix,
    upstream: upstreamAuthority(route, port),
    // Of a list, the first host is the one that the visitor used.
    hosts: [head.host, ...(head.forwarded?.host?.split(',', 1) ?? [])],
  };
}
