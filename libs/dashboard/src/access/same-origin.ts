import { ApiError } from '@ephemera/domain';
import type { Context } from 'koa';

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
    site === '' ? URL.parse(ctx.get('origin'))?.host === ctx.get('host') : site === 'same-origin';
  if (same) return;
  const detail = 'browsers may send this request only from a page of the dashboard';
  throw new ApiError({ kind: 'invalid', status: 403, faults: [{ path: '', detail }] });
}
