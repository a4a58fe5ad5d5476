import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Failure, Route } from '@ephemera/domain';
import { accessCookies, withoutParameter, withoutLinks } from '../access/access-token.ts';
import { checkAccess, isFromOwnPage } from '../access/check-access.ts';
import { pageHeaders } from '../security-headers.ts';
import { type InboundRequest, isSecure, outerPrefix } from './upstream-request.ts';

/** Whether a request may reach its instance. */
export type AccessDecision =
  /** The request may reach the instance. It no longer contains the token. */
  | { readonly kind: 'allowed'; readonly request: InboundRequest }
  | { readonly kind: 'denied'; readonly failure: Failure }
  /** A response was sent: a redirect that sets the cookies, to the URL without the token. */
  | { readonly kind: 'answered' };

const DENIED: AccessDecision = { kind: 'denied', failure: { kind: 'access_denied' } };

/**
 * Decides whether a request may reach an instance that may be guarded by an access token.
 *
 * @param res undefined for an upgrade, which cannot use a link
 */
export function authorizeAccess(
  req: IncomingMessage,
  request: InboundRequest,
  route: Route | undefined,
  /** First segment of the path form. */
  prefix: string,
  res: ServerResponse | undefined,
): AccessDecision {
  const decision = checkAccess(req, route);
  switch (decision.kind) {
    case 'open':
      return { kind: 'allowed', request };
    case 'access_denied':
      return DENIED;
    case 'token_presented': {
      if (decision.by === 'cookie' && !isFromInstance(req, request, route)) return DENIED;
      const head = { ...request.head, lines: withoutLinks(request.head.lines) };
      return { kind: 'allowed', request: { ...request, head } };
    }
    case 'token_in_url':
      if (!res || (request.method !== 'GET' && request.method !== 'HEAD')) return DENIED;
      redirectWithCookies(req, res, request, { route, prefix, token: decision.token });
      return { kind: 'answered' };
  }
}

/**
 * Whether a page of the instance itself sent the request. In path form all instances share one
 * origin, so their pages cannot be told apart. Other sites need no check there, because browsers do not
 * send them the cookie, except where the instance may be embedded.
 */
function isFromInstance(
  req: IncomingMessage,
  request: InboundRequest,
  route: Route | undefined,
): boolean {
  const { method, address, head, site } = request;
  if (address.prefix !== '' && route?.embed === undefined) return true;
  const scheme = isSecure(head.forwarded?.proto, site) ? 'https' : 'http';
  // A load balancer may have removed the port from the Host that visitors see.
  const isComplete = address.prefix !== '' || /:\d+$/.test(head.host);
  const host = isComplete ? head.host : head.host + site.domainPort;
  return isFromOwnPage(method, req.headers, URL.parse(`${scheme}://${host}`)?.origin);
}

function redirectWithCookies(
  { headers }: IncomingMessage,
  res: ServerResponse,
  request: InboundRequest,
  { route, prefix, token }: { route: Route | undefined; prefix: string; token: string },
): void {
  const { address, head, target, site } = request;
  const { id, name, port } = address;
  const outer = outerPrefix(request);
  const named = route?.state === 'ready' ? Object.keys(route.ports) : [];
  const cookies = accessCookies(token, {
    prefix: `${outer}/${prefix}`.slice(1),
    id,
    name,
    ports: [...new Set([...named, ...(port === undefined ? [] : [port])])],
    form: address.prefix === '' ? 'host' : 'path',
    secure: isSecure(head.forwarded?.proto, site),
    // A window of its own needs no such cookie.
    isEmbedded: route?.embed !== undefined && headers['sec-fetch-dest'] !== 'document',
  });
  res.writeHead(303, {
    location: outer + withoutParameter(target),
    'set-cookie': cookies,
    ...pageHeaders({ hasButton: false, embed: route?.embed }),
    'content-length': 0,
  });
  res.end();
}
