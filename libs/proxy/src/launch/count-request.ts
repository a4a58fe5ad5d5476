import { ApiError } from '@ephemera/domain';
import type { Quotas } from '@ephemera/config';
import type { Rates } from '@ephemera/store';
import type { Context } from 'koa';

/**
 * Counts a request for an instance, and tells in the fields `RateLimit` and `RateLimit-Policy`
 * (draft-ietf-httpapi-ratelimit-headers) what is left.
 * @throws ApiError rate_limited; what Redis throws while it is away, when nothing is created
 */
export async function countRequest(
  ctx: Pick<Context, 'res'>,
  rates: Rates,
  quotas: Quotas,
  by: 'address' | 'token',
  quotaSubject: string,
): Promise<void> {
  const rate = by === 'token' ? quotas.ratePerToken : quotas.ratePerAddress;
  if (rate === undefined) return;
  const { allowed, remaining, resetsIn } = await rates.take(quotaSubject, rate);
  // On the bare response: an answer to what is thrown keeps them.
  ctx.res.setHeader('ratelimit-policy', `"${by}";q=${rate.points};w=${rate.seconds}`);
  ctx.res.setHeader('ratelimit', `"${by}";r=${remaining};t=${resetsIn}`);
  if (!allowed) throw new ApiError({ kind: 'rate_limited', by, resetsIn });
}
