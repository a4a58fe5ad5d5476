import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Failure, Route } from '@ephemera/domain';
import { accessCookies } from '../access/access-cookies.ts';
import { checkAccess } from '../access/check-access.ts';
import { isFromOwnPage } from '../access/from-own-page.ts';
import { withoutParameter, withoutLinks } from '../access/presented-tokens.ts';
import { pageHeaders } from '../security-headers.ts';
import type { InboundRequest } from './inbound-request.ts';

const DENIED: Failure = { kind: 'access_denied' };

interface Site {
  /** First segment of the path form. */
  readonly prefix: string;
  /** Whether visitors come over TLS, where nobody says otherwise. */
  readonly secure: boolean;
  /** The port in visitors' addresses, as in `:8080`, or empty. */
  readonly domainPort: string;
}

/**
 * Takes a request past what its route asks of visitors: gives it as it may reach the instance,
 * without the token, or why it may not. undefined where it was answered: a link becomes cookies,
 * and an address without the token.
 *
 * @param res undefined for an upgrade, which no link opens
 */
export function authorizeAccess(
  req: IncomingMessage,
  inbound: InboundRequest,
  route: Route | undefined,
  site: Site,
  res?: ServerResponse,
): InboundRequest | Failure | undefined {
  const decision = checkAccess(req, route);
  switch (decision.kind) {
    case 'open':
      return inbound;
    case 'access_denied':
      return DENIED;
    case 'token_presented':
      if (decision.by === 'cookie' && !isFromSameInstance(req, inbound, site)) return DENIED;
      return { ...inbound, head: { ...inbound.head, lines: withoutLinks(inbound.head.lines) } };
    case 'token_in_url':
      if (!res || (inbound.method !== 'GET' && inbound.method !== 'HEAD')) return DENIED;
      setAccessCookies(res, inbound, route, site, decision.token);
      return undefined;
  }
}

/** In path form all instances are one origin: whose page asks cannot be told. */
function isFromSameInstance(req: IncomingMessage, inbound: InboundRequest, site: Site): boolean {
  const { method, address, head } = inbound;
  if (address.prefix !== '') return true;
  const scheme = isSecure(head.forwarded?.proto, site) ? 'https' : 'http';
  // Balancers may take the port off the Host that visitors see.
  const host = /:\d+$/.test(head.host) ? head.host : head.host + site.domainPort;
  return isFromOwnPage(method, req.headers, URL.parse(`${scheme}://${host}`)?.origin);
}

/** @param proto what a trusted peer said; some balancers call a WebSocket's `wss` */
function isSecure(proto: string | undefined, site: Site): boolean {
  return proto === undefined ? site.secure : /^(?:https|wss)\b/i.test(proto);
}

function setAccessCookies(
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
