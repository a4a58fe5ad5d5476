import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Failure, Route } from '@ephemera/domain';
import { accessCookies } from '../access/access-cookies.ts';
import { admit } from '../access/admit.ts';
import { isFromOwnPage } from '../access/from-own-page.ts';
import { withoutParameter, withoutLinks } from '../access/shown-tokens.ts';
import { pageHeaders } from '../security-headers.ts';
import type { Arrival } from './upstream-head.ts';

const BARRED: Failure = { kind: 'barred' };

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
export function passGuard(
  req: IncomingMessage,
  arrival: Arrival,
  route: Route | undefined,
  site: Site,
  res?: ServerResponse,
): Arrival | Failure | undefined {
  const admission = admit(req, route);
  switch (admission.kind) {
    case 'open':
      return arrival;
    case 'barred':
      return BARRED;
    case 'shown':
      if (admission.by === 'cookie' && !isAskedByOwn(req, arrival, site)) return BARRED;
      return { ...arrival, head: { ...arrival.head, lines: withoutLinks(arrival.head.lines) } };
    case 'linked':
      if (!res || (arrival.method !== 'GET' && arrival.method !== 'HEAD')) return BARRED;
      enter(res, arrival, route, site, admission.token);
      return undefined;
  }
}

/** In path form all instances are one origin: whose page asks cannot be told. */
function isAskedByOwn(req: IncomingMessage, arrival: Arrival, site: Site): boolean {
  const { method, address, head } = arrival;
  if (address.prefix !== '') return true;
  const scheme = isSecure(head.said?.proto, site) ? 'https' : 'http';
  // Balancers may take the port off the Host that visitors see.
  const host = /:\d+$/.test(head.host) ? head.host : head.host + site.domainPort;
  return isFromOwnPage(method, req.headers, URL.parse(`${scheme}://${host}`)?.origin);
}

/** @param proto what a trusted peer said; some balancers call a WebSocket's `wss` */
function isSecure(proto: string | undefined, site: Site): boolean {
  return proto === undefined ? site.secure : /^(?:https|wss)\b/i.test(proto);
}

function enter(
  res: ServerResponse,
  { address, head, target }: Arrival,
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
    secure: isSecure(head.said?.proto, site),
  });
  res.writeHead(303, {
    location: withoutParameter(target),
    'set-cookie': cookies,
    ...pageHeaders({ hasButton: false }),
    'content-length': 0,
  });
  res.end();
}
