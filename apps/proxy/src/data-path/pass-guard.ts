import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Failure, Route } from '@ephemera/domain';
import { accessCookies } from '../admission/access-cookies.ts';
import { admit } from '../admission/admit.ts';
import { withoutParameter, withoutLinks } from '../admission/shown-tokens.ts';
import { pageHeaders } from '../security-headers.ts';
import type { Arrival } from './upstream-head.ts';

const BARRED: Failure = { kind: 'barred' };

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
  site: { readonly prefix: string; readonly secure: boolean },
  res?: ServerResponse,
): Arrival | Failure | undefined {
  const admission = admit(req, route);
  switch (admission.kind) {
    case 'open':
      return arrival;
    case 'barred':
      return BARRED;
    case 'shown':
      return { ...arrival, head: { ...arrival.head, lines: withoutLinks(arrival.head.lines) } };
    case 'linked':
      if (!res || (arrival.method !== 'GET' && arrival.method !== 'HEAD')) return BARRED;
      enter(res, arrival, route, site, admission.token);
      return undefined;
  }
}

function enter(
  res: ServerResponse,
  { address, head, target }: Arrival,
  route: Route | undefined,
  site: { readonly prefix: string; readonly secure: boolean },
  token: string,
): void {
  const { id, prefix, port } = address;
  const named = route?.state === 'ready' ? Object.keys(route.ports) : [];
  const cookies = accessCookies(token, {
    prefix: site.prefix,
    id,
    ports: [...new Set([...named, ...(port === undefined ? [] : [port])])],
    form: prefix === '' ? 'host' : 'path',
    secure: head.said?.proto === undefined ? site.secure : head.said.proto === 'https',
  });
  res.writeHead(303, {
    location: withoutParameter(target),
    'set-cookie': cookies,
    ...pageHeaders({ hasButton: false }),
    'content-length': 0,
  });
  res.end();
}
