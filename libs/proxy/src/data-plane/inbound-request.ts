import type { ReadyRoute } from '@ephemera/domain';
import type { Address } from './address.ts';
import { forwardedLines } from './forwarded.ts';
import type { ClientConnection } from './client-connection.ts';
import type { RequestHead } from './request-head.ts';
import type { RewriteContext } from './rewrite-response.ts';

/** A request as it came, as far as its way on depends on it. */
export interface InboundRequest {
  readonly method: string;
  /** The target as sent. */
  readonly target: string;
  readonly head: RequestHead;
  readonly address: Address;
  readonly client: ClientConnection;
}

/** The instance's own authority, as a Host that is masked shows it. */
function upstreamAuthority(route: ReadyRoute, port: number): string {
  return route.address.includes(':') ? `[${route.address}]:${port}` : `${route.address}:${port}`;
}

/** The way of an answer back to whoever sent the request. */
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
    // Of a list, the first is whom the visitor asked.
    hosts: [head.host, ...(head.forwarded?.host?.split(',', 1) ?? [])],
  };
}

/** The target that the instance sees: always in origin form. */
export function upstreamTarget({ target, address }: InboundRequest, route: ReadyRoute): string {
  if (!route.stripPrefix) return target;
  return address.path.startsWith('/') ? address.path : `/${address.path}`;
}

/** Host and the lines that tell who asks; the prefix is told only where it was taken off. */
export function upstreamLines(inbound: InboundRequest, route: ReadyRoute, port: number): string {
  const { head, address, client } = inbound;
  const host = route.host === 'mask' ? upstreamAuthority(route, port) : head.host;
  const prefix = route.stripPrefix ? address.prefix : '';
  return (
    `host: ${host}\r\n${head.lines}` + forwardedLines(client, head.host, prefix, head.forwarded)
  );
}

/** The whole head of a request as it is sent on, with the framing and connection of its own. */
export function upstreamHead(inbound: InboundRequest, route: ReadyRoute, port: number): string {
  const { head, method } = inbound;
  let own = 'connection: keep-alive\r\n';
  if (head.contentLength !== undefined) own += `content-length: ${head.contentLength}\r\n`;
  else if (head.chunked) own += 'transfer-encoding: chunked\r\n';
  if (head.expectsContinue) own += 'expect: 100-continue\r\n';
  return `${method} ${upstreamTarget(inbound, route)} HTTP/1.1\r\n${upstreamLines(inbound, route, port)}${own}\r\n`;
}
