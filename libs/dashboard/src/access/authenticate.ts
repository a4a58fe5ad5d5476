import { ApiError, allows, isId, isOwner } from '@ephemera/domain';
import type { Principal } from '@ephemera/domain';
import { bearerOf, identifyThrottled, isSameOrigin, setPrincipal } from '@ephemera/http';
import type { AuthThrottle, TokenSet } from '@ephemera/http';
import type { Instances } from '@ephemera/lifecycle';
import type { Middleware, Context } from 'koa';
import { addressOf } from './audit-actions.ts';
import { sessionPrincipal } from './session.ts';
import type { Sessions } from './session.ts';

export interface AuthenticationPorts {
  readonly tokens: TokenSet;
  readonly sessions: Sessions;
  /** Shared with the login. */
  readonly authThrottle: AuthThrottle;
  readonly instances: Pick<Instances, 'get'>;
}

/** Changes that a token of scope `create` may make to the instances that it started. */
const OWN = /^\/dashboard\/instances\/([a-z0-9]+)\/(?:end|extend|pause|resume)$/;

/**
 * Requires a bearer token or a session: scope `read` to read, `admin` to change something, `create` to
 * change an instance that the token started.
 * @throws ApiError unauthorized, forbidden, rate_limited; 403 for a cross-origin request
 */
export function authenticate({
  tokens,
  sessions,
  authThrottle,
  instances,
}: AuthenticationPorts): Middleware {
  return async (ctx, next) => {
    const bearer = bearerOf(ctx.get('authorization'));
    const principal =
      bearer === undefined
        ? sessionPrincipal(ctx, sessions)
        : await identifyThrottled(authThrottle, addressOf(ctx), () => tokens.identify(bearer));
    if (!principal) throw new ApiError({ kind: 'unauthorized' });
    // Set before the checks below, so that the audit log names the refused principal.
    setPrincipal(ctx, principal);
    if (bearer === undefined) requireSameOrigin(ctx);
    const needs = ctx.method === 'GET' || ctx.method === 'HEAD' ? 'read' : 'admin';
    if (!allows(principal, needs) && !(await ownsTarget(ctx, principal))) {
      const isSelection = ctx.method === 'POST' && ctx.path === '/dashboard/instances';
      // The handler leaves out the instances of others.
      if (!isSelection || !allows(principal, 'create')) {
        throw new ApiError({ kind: 'forbidden', needs });
      }
    }
    await next();
  };

  async function ownsTarget(ctx: Context, principal: Principal): Promise<boolean> {
    const id = OWN.exec(ctx.path)?.[1] ?? '';
    if (ctx.method !== 'POST' || !isId(id) || !allows(principal, 'create')) return false;
    const instance = await instances.get(id);
    return instance !== undefined && isOwner(principal, instance);
  }
}

/**
 * Refuses cross-origin changes. `SameSite` is not enough: an instance on another port of this
 * machine is same-site, and untrusted.
 * @throws ApiError 403
 */
export function requireSameOrigin(ctx: Context): void {
  if (ctx.method === 'GET' || ctx.method === 'HEAD') return;
  const site = ctx.get('sec-fetch-site');
  // Browsers leave Sec-Fetch-Site out on plain http to another machine, but never Origin.
  const same =
    site === '' ? isSameOrigin(ctx.get('origin'), ctx.get('host')) : site === 'same-origin';
  if (same) return;
  const detail = 'browsers may send this request only from a page of the dashboard';
  throw new ApiError({ kind: 'invalid', status: 403, faults: [{ path: '', detail }] });
}
