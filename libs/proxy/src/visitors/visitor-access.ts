import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { SigningKeys } from '@ephemera/config';
import { ApiError } from '@ephemera/domain';
import type { Route } from '@ephemera/domain';
import { isSameOrigin } from '@ephemera/http';
import { checkAccess, isFromOwnPage } from '../access/check-access.ts';
import { ownInstances } from './own-instances.ts';

/**
 * What a client is for an instance. `owner`: it has started the instance, or has its access token.
 * `guest`: it knows the id of an instance that is open to everyone.
 */
export interface Visitor {
  readonly role: 'owner' | 'guest';
  /** What proves it. A browser sends cookies also with requests that its user did not intend. */
  readonly by: 'cookie' | 'header' | undefined;
}

/**
 * Identifies a client that reads the state of an instance. Pages of other origins may not read it by
 * the cookies of their visitor.
 *
 * @param hosts the hosts of the product's own pages
 * @throws ApiError access_denied
 */
export function visitorOf(
  req: IncomingMessage,
  id: string,
  route: Route | undefined,
  { keys, hosts }: { readonly keys: SigningKeys; readonly hosts: readonly string[] },
): Visitor {
  const { headers } = req;
  const { origin } = headers;
  const decision = checkAccess({ headers }, route);
  if (decision.kind === 'token_presented' && decision.by === 'header') {
    return { role: 'owner', by: 'header' };
  }
  const hasCookie =
    decision.kind === 'token_presented' || ownInstances(headers.cookie, keys).includes(id);
  const isOwnOrigin = origin !== undefined && hosts.some((host) => isSameOrigin(origin, host));
  if (hasCookie && (isOwnOrigin || isFromOwnPage('GET', headers, undefined))) {
    return { role: 'owner', by: 'cookie' };
  }
  if (decision.kind === 'open') return { role: 'guest', by: undefined };
  throw new ApiError({ kind: 'access_denied' });
}

/**
 * Requires that the user has sent a change with a form of the product's own page. A page of another
 * origin cannot send such a request. A script of an instance that shares the origin can only navigate
 * its own window there, which the user sees.
 *
 * @param hosts the hosts of the product's own pages
 * @throws ApiError invalid, with status 403
 */
export function requireOwnForm(headers: IncomingHttpHeaders, hosts: readonly string[]): void {
  const { origin } = headers;
  const site = headers['sec-fetch-site'];
  const isOwn =
    site === undefined
      ? // Over plain HTTP, browsers send only `Origin`, and with every form.
        origin !== undefined && hosts.some((host) => isSameOrigin(origin, host))
      : site === 'same-origin' &&
        headers['sec-fetch-mode'] === 'navigate' &&
        headers['sec-fetch-dest'] === 'document';
  if (isOwn) return;
  const detail = 'only the form of the page of the instance may send this with a cookie';
  throw new ApiError({ kind: 'invalid', status: 403, faults: [{ path: '', detail }] });
}
