import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Failure, Route } from '@ephemera/domain';
import { accessCookies, withoutParameter, withoutLinks } from '../access/access-token.ts';
import { checkAccess, isFromOwnPage } from '../access/check-access.ts';
import { pageHeaders } from '../security-headers.ts';
import { type InboundRequest, isSecure, outerPrefix, type Site } from './upstream-request.ts';

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
      if (decision.by === 'cookie' && !isFromInstance(req, request, request.site)) return DENIED;
      const head = { ...request.head, lines: withoutLinks(request.head.lines) };
      return { kind: 'allowed', request: { ...request, head } };
    }
    case 'token_in_url':
      if (!res || (request.method !== 'GET' && request.method !== 'HEAD')) return DENIED;
      redirectWithCookies(res, request, route, prefix, decision.token);
      return { kind: 'answered' };
  }
}

/**
 * Whether a page of the instance itself sent the request. In path form all instances share one
 * origin, so the pages cannot be told apart.
 */
function isFromInstance(req: IncomingMessage, request: InboundRequest, site: Site): boolean {
  const { method, address, head } = request;
  if (address.prefix !== '') return true;
  const scheme = isSecure(head.forwarded?.proto, site) ? 'https' : 'http';
  // A load balancer may have removed the port from the Host that visitors see.
  const host = /:\d+$/.test(head.host) ? head.host : head.host + site.domainPort;
  return isFromOwnPage(method, req.headers, URL.parse(`${scheme}://${host}`)?.origin);
}

function redirectWithCookies(
  res: ServerResponse,
  request: InboundRequest,
  route: Route | undefined,
  prefix: string,
  token: string,
): void {
  const { address, head, target, site } = request;
  const { id, port } = address;
  const outer = outerPrefix(request);
  const named = route?.state === 'ready' ? Object.keys(route.ports) : [];
  const cookies = accessCookies(token, {
    prefix: `${outer}/${prefix}`.slice(1),
    id,
    ports: [...new Set([...named, ...(port === undefined ? [] : [port])])],
    form: address.prefix === '' ? 'host' : 'path',
    secure: isSecure(head.forwarded?.proto, site),
  });
  res.writeHead(303, {
    location: outer + withoutParameter(target),
    'set-cookie': cookies,
    ...pageHeaders({ hasButton: false }),
    'content-length': 0,
  });
  res.end();
}
