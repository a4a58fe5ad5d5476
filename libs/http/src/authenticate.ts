import type { Principal } from '@ephemera/domain';
import type { Context } from 'koa';
import { type AuthThrottle, identifyThrottled } from './auth-throttle.ts';
import { bearerOf } from './token-set.ts';
import type { Identified, TokenSet } from './token-set.ts';

export interface Authentication {
  readonly tokens: Pick<TokenSet, 'identify'>;
  readonly authThrottle: AuthThrottle;
}

/**
 * The principal of an `Authorization` header; undefined without a header. A malformed header counts
 * as an invalid token.
 * @throws ApiError unauthorized, rate_limited
 */
export async function authenticateBearer(
  { tokens, authThrottle }: Authentication,
  authorization: string | undefined,
  address: string,
): Promise<Identified | undefined> {
  if (authorization === undefined || authorization === '') return undefined;
  const token = bearerOf(authorization);
  return identifyThrottled(authThrottle, address, () =>
    token === undefined ? undefined : tokens.identify(token),
  );
}

/** Sets the principal of a request, for handlers and for the audit log. */
export function setPrincipal(ctx: Pick<Context, 'state'>, principal: Principal | undefined): void {
  ctx.state['principal'] = principal;
}

/** The principal of a request, after the middleware that authenticates. */
export function principalOf(ctx: Pick<Context, 'state'>): Identified {
  return (ctx.state as { readonly principal: Identified }).principal;
}
