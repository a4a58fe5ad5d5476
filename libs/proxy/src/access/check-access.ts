import type { IncomingHttpHeaders } from 'node:http';
import { isDead } from '@ephemera/domain';
import type { Route } from '@ephemera/domain';
import { matchesToken } from './access-token.ts';
import { presentedTokens } from './presented-tokens.ts';

/**
 * Whether a request may enter: `open` where nothing is asked of it, `shown` where it has shown the
 * token, `linked` with the token where it came by a link that carries it.
 *
 * A guarded instance is `access_denied` to everybody else, alike in whatever state it is, so that a
 * stranger does not learn when it started, or why it ended. And whoever shows a token is barred
 * from what there is not, or no more, just as from what it does not open: so tokens tell nothing
 * about ids.
 */
export type AccessDecision =
  | { readonly kind: 'open' | 'access_denied' }
  | { readonly kind: 'token_presented'; readonly by: 'header' | 'cookie' }
  | { readonly kind: 'token_in_url'; readonly token: string };

export function checkAccess(
  {
    headers,
    url = '',
  }: { readonly headers: IncomingHttpHeaders; readonly url?: string | undefined },
  route: Route | undefined,
): AccessDecision {
  if (route?.access === undefined) {
    const isThere = route !== undefined && !isDead(route.state) && route.state !== 'draining';
    return { kind: isThere || !presentedTokens(headers, url) ? 'open' : 'access_denied' };
  }
  const { access } = route;
  const shown = presentedTokens(headers, url);
  const right = shown?.tokens.find((token) => matchesToken(token, access));
  if (shown === undefined || right === undefined) return { kind: 'access_denied' };
  return shown.by === 'link'
    ? { kind: 'token_in_url', token: right }
    : { kind: 'token_presented', by: shown.by };
}
