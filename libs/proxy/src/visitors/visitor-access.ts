import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { ApiError } from '@ephemera/domain';
import type { Route } from '@ephemera/domain';
import { isSameOrigin } from '@ephemera/http';
import { checkAccess, isFromOwnPage } from '../access/check-access.ts';
import type { OwnInstances } from './own-instances.ts';

/**
 * What a client is for an instance. `owner`: it has started the instance, or has its access token.
 * `guest`: it knows the id of an instance that is open to everyone.
 */
export interface Visitor {
  readonly role: 'owner' | 'guest';
  /** What proves it. A browser sends cookies also with requests that its user did not intend. */
  readonly by: 'cookie' | 'header' | undefined;
  /** Whether a change by this client can be told from one that its user did not intend. */
  readonly mayChange: boolean;
}

/** Where the product's own pages are. */
interface OwnPages {
  /** Their hosts. */
  readonly hosts: readonly string[];
  /** Whether instances share their origin, as in path form. */
  readonly isShared: boolean;
}

/**
 * Identifies a client that reads the state of an instance. Pages of other origins may not read it by
 * the cookies of their visitor.
 *
 * @throws ApiError access_denied
 */
export function visitorOf(
  req: IncomingMessage,
  id: string,
  route: Route | undefined,
  { own, hosts, isShared }: OwnPages & { readonly own: Pick<OwnInstances, 'has'> },
): Visitor {
  const { headers } = req;
  const { origin } = headers;
  const decision = checkAccess({ headers }, route);
  if (decision.kind === 'token_presented' && decision.by === 'header') {
    return { role: 'owner', by: 'header', mayChange: true };
  }
  const hasCookie = decision.kind === 'token_presented' || own.has(headers.cookie, id);
  const isOwnOrigin = origin !== undefined && hosts.some((host) => isSameOrigin(origin, host));
  if (hasCookie && (isOwnOrigin || isFromOwnPage('GET', headers, undefined))) {
    return { role: 'owner', by: 'cookie', mayChange: !isShared || hasFetchMetadata(headers) };
  }
  if (decision.kind === 'open') return { role: 'guest', by: undefined, mayChange: false };
  throw new ApiError({ kind: 'access_denied' });
}

/**
 * Whether the browser says what sends a request (Fetch Metadata Request Headers, W3C). Over plain HTTP
 * browsers say it only to `localhost` and loopback addresses.
 */
function hasFetchMetadata(headers: IncomingHttpHeaders): boolean {
  return headers['sec-fetch-site'] !== undefined;
}

const NO_METADATA =
  'the browser does not say whether a form or a script sends this; use HTTPS and a current browser';

/**
 * Requires that the user has sent a change with a form of the product's own page. A page of another
 * origin cannot send such a request. A script of an instance that shares the origin can only navigate
 * its own window there, which the user sees. Without Fetch Metadata, `Origin` says which origin sends
 * a request, but not whether a form or a script does, so on a shared origin it proves nothing.
 *
 * @throws ApiError invalid, with status 403
 */
export function requireOwnForm(headers: IncomingHttpHeaders, { hosts, isShared }: OwnPages): void {
  const { origin } = headers;
  if (!hasFetchMetadata(headers)) {
    if (isShared) throw refusal(NO_METADATA);
    if (origin !== undefined && hosts.some((host) => isSameOrigin(origin, host))) return;
  } else if (
    headers['sec-fetch-site'] === 'same-origin' &&
    headers['sec-fetch-mode'] === 'navigate' &&
    headers['sec-fetch-dest'] === 'document'
  ) {
    return;
  }
  throw refusal('only the form of the page of the instance may send this with a cookie');
}

/** A change that this client may not make. */
export function refusal(detail: string): ApiError {
  return new ApiError({ kind: 'invalid', status: 403, faults: [{ path: '', detail }] });
}
