import type { IncomingHttpHeaders } from 'node:http';
import { isDead } from '@ephemera/domain';
import type { Route } from '@ephemera/domain';
import { opens } from './access-token.ts';
import { shownTokens } from './shown-tokens.ts';

/**
 * Whether a request may enter: `open` where nothing is asked of it, `shown` where it has shown the
 * token, `linked` with the token where it came by a link that carries it.
 *
 * A guarded instance is `barred` to everybody else, alike in whatever state it is, so that a
 * stranger does not learn when it started, or why it ended. And whoever shows a token is barred
 * from what there is not, or no more, just as from what it does not open: so tokens tell nothing
 * about ids.
 */
export type Admission =
  | { readonly kind: 'open' | 'barred' }
  | { readonly kind: 'shown'; readonly by: 'header' | 'cookie' }
  | { readonly kind: 'linked'; readonly token: string };

export function admit(
  {
    headers,
    url = '',
  }: { readonly headers: IncomingHttpHeaders; readonly url?: string | undefined },
  route: Route | undefined,
): Admission {
  if (route?.access === undefined) {
    const isThere = route !== undefined && !isDead(route.state) && route.state !== 'draining';
    return { kind: isThere || !shownTokens(headers, url) ? 'open' : 'barred' };
  }
  const { access } = route;
  const shown = shownTokens(headers, url);
  const right = shown?.tokens.find((token) => opens(token, access));
  if (shown === undefined || right === undefined) return { kind: 'barred' };
  return shown.by === 'link' ? { kind: 'linked', token: right } : { kind: 'shown', by: shown.by };
}
