import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Failure, Route } from '@ephemera/domain';
import { accessCookies, withoutParameter, withoutLinks } from '../access/access-token.ts';
import { checkAccess, isFromOwnPage } from '../access/check-access.ts';
import { pageHeaders } from '../security-headers.ts';
import type { InboundRequest } from './upstream-request.ts';

/** Whether a request may reach its instance. */
export type AccessDecision =
  /** The request may reach the instance. It no longer contains the token. */
  | { readonly kind: 'allowed'; readonly request: InboundRequest }
  | { readonly kind: 'denied'; readonly failure: Failure }
  /** A response was sent: a redirect that sets the cookies, to the URL without the token. */
  | { readonly kind: 'answered' };

const DENIED: AccessDecision = { kind: 'denied', failure: { kind: 'access_denied' } };

/** The addresses of visitors, as far as the decision needs them. */
interface Site {
  /** First segment of the path form. */
  readonly prefix: string;
  /** Whether visitors use TLS, unless a trusted peer says otherwise. */
  readonly secure: boolean;
  /** The port in visitors' addresses, as in `:8080`, or empty. */
  readonly domainPort: string;
}

/**
 * Decides whether a request may reach an instance that may be guarded by an access token.
 *
 * @param res undefined for an upgrade, which cannot use a link
 */
export function authorizeAccess(
  req: IncomingMessage,
  request: InboundRequest,
  route: Route | undefined,
  site: Site,
  res: ServerResponse | undefined,
): AccessDecision {
  const decision = checkAccess(req, route);
  switch (decision.kind) {
    case 'open':
      return { kind: 'allowed', request };
    case 'access_denied':
      return DENIED;
    case 'token_presented': {
      if (decision.by === 'cookie' && !isFromInstance(req, request, site)) return DENIED;
      const head = { ...request.head, lines: withoutLinks(request.head.lines) };
      return { kind: 'allowed', request: { ...request, head } };
    }
    case 'token_in_url':
      if (!res || (request.method !== 'GET' && request.method !== 'HEAD')) return DENIED;
      redirectWithCookies(res, request, route, site, decision.token);
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

/** @param proto of a trusted peer; some load balancers write `wss` for a WebSocket */
function isSecure(proto: string | undefined, site: Site): boolean {
  return proto === undefined ? site.secure : /^(?:https|wss)\b/i.test(proto);
}

function redirectWithCookies(
  res: ServerResponse,
  { address, head, target }: InboundRequest,
  route: Route | undefined,
  site: Site,
  token: string,
): void {
  const { id, prefix, port } = address;
  const named = route?.state === 'ready' ? Object.keys(route.ports) : [];
  const cookies = accessCookies(token, {
    prefix: site.prefix,
    id,
    ports: [...new Set([...named, ...(port === undefined ? [] : [port])])],
    form: prefix === '' ? 'host' : 'path',
    secure: isSecure(head.forwarded?.proto, site),
  });
  res.writeHead(303, {
    location: withoutParameter(target),
    'set-cookie': cookies,
    ...pageHeaders({ hasButton: false }),
    'content-length': 0,
  });
  res.end();
}
