import type { ReadyRoute } from '@ephemera/domain';
import type { Address } from './address.ts';
import { forwardedLines } from './forwarded.ts';
import type { Peer } from './peer.ts';
import type { RequestHead } from './request-head.ts';
import type { Passage } from './rewrite-response.ts';

/** A request as it came, as far as its way on depends on it. */
export interface Arrival {
  readonly method: string;
  /** The target as sent. */
  readonly target: string;
  readonly head: RequestHead;
  readonly address: Address;
  readonly peer: Peer;
}

/** The instance's own authority, as a Host that is masked shows it. */
function upstreamAuthority(route: ReadyRoute, port: number): string {
  return route.address.includes(':') ? `[${route.address}]:${port}` : `${route.address}:${port}`;
}

/** The way of an answer back to whoever sent the request. */
export function passageOf({ address, head }: Arrival, route: ReadyRoute, port: number): Passage {
  return {
    prefix: address.prefix,
    isBare: address.prefix !== '' && !address.path.startsWith('/'),
    stripped: route.stripPrefix,
    upstream: upstreamAuthority(route, port),
    // Of a list, the first is whom the visitor asked.
    hosts: [head.host, ...(head.said?.host?.split(',', 1) ?? [])],
  };
}

/** The target that the instance sees: always in origin form. */
export function upstreamTarget({ target, address }: Arrival, route: ReadyRoute): string {
  if (!route.stripPrefix) return target;
  return address.path.startsWith('/') ? address.path : `/${address.path}`;
}

/** Host and the lines that tell who asks; the prefix is told only where it was taken off. */
export function upstreamLines(arrival: Arrival, route: ReadyRoute, port: number): string {
  const { head, address, peer } = arrival;
  const host = route.hostHeader === 'mask' ? upstreamAuthority(route, port) : head.host;
  const prefix = route.stripPrefix ? address.prefix : '';
  return `host: ${host}\r\n${head.lines}` + forwardedLines(peer, head.host, prefix, head.said);
}

/** The whole head of a request as it is sent on, with the framing and connection of its own. */
export function upstreamHead(arrival: Arrival, route: ReadyRoute, port: number): string {
  const { head, method } = arrival;
  let own = 'connection: keep-alive\r\n';
  if (head.contentLength !== undefined) own += `content-length: ${head.contentLength}\r\n`;
  else if (head.chunked) own += 'transfer-encoding: chunked\r\n';
  if (head.expectsContinue) own += 'expect: 100-continue\r\n';
  return `${method} ${upstreamTarget(arrival, route)} HTTP/1.1\r\n${upstreamLines(arrival, route, port)}${own}\r\n`;
}
