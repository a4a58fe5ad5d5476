import { ApiError } from '@ephemera/domain';
import type { Context } from 'koa';

/**
 * Refuses a change that another site's page asked a browser for. `SameSite` alone does not: an
 * instance served on another port of this machine is the same site, and as untrusted as any.
 * @throws ApiError 403
 */
export function requireSameOrigin(ctx: Context): void {
  if (ctx.method === 'GET' || ctx.method === 'HEAD') return;
  const site = ctx.get('sec-fetch-site');
  // Browsers leave Sec-Fetch-Site out on plain http to another machine, but never Origin.
  const same =
    site === '' ? URL.parse(ctx.get('origin'))?.host === ctx.get('host') : site === 'same-origin';
  if (same) return;
  const detail = 'a browser may only ask for this from a page of the dashboard';
  throw new ApiError({ kind: 'invalid', status: 403, faults: [{ path: '', detail }] });
}
