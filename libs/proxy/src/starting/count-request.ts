import type { Quotas } from '@ephemera/config';
import { ApiError } from '@ephemera/domain';
import type { Rates } from '@ephemera/store';
import type { Context } from 'koa';

/** Whose rate counts a request. */
export type RateSubject = 'address' | 'token' | 'owner';

/**
 * Counts one start against the rate of its subject. Sets `RateLimit` and `RateLimit-Policy`
 * (draft-ietf-httpapi-ratelimit-headers).
 * @throws ApiError rate_limited; the error of Redis while it is unavailable
 */
export async function countRequest(
  ctx: Pick<Context, 'res'>,
  rates: Rates,
  quotas: Quotas,
  by: RateSubject,
  quotaSubject: string,
): Promise<void> {
  const rate = {
    token: quotas.ratePerToken,
    address: quotas.ratePerAddress,
    owner: quotas.ratePerOwner,
  }[by];
  await countAgainst(ctx, rates, rate, by, quotaSubject);
}

/**
 * Counts one renewal, pause or resume against the rate of its token.
 * @throws ApiError rate_limited; the error of Redis while it is unavailable
 */
export async function countChange(
  ctx: Pick<Context, 'res'>,
  rates: Rates,
  { changesPerToken }: Quotas,
  quotaSubject: string,
): Promise<void> {
  await countAgainst(ctx, rates, changesPerToken, 'token', `changes:${quotaSubject}`);
}

async function countAgainst(
  ctx: Pick<Context, 'res'>,
  rates: Rates,
  rate: Quotas['ratePerAddress'],
  by: RateSubject,
  quotaSubject: string,
): Promise<void> {
  if (rate === undefined) return;
  const { allowed, remaining, resetsIn } = await rates.take(quotaSubject, rate);
  // On the raw response: Koa removes its own headers when a middleware throws.
  ctx.res.setHeader('ratelimit-policy', `"${by}";q=${rate.points};w=${rate.seconds}`);
  ctx.res.setHeader('ratelimit', `"${by}";r=${remaining};t=${resetsIn}`);
  if (!allowed) throw new ApiError({ kind: 'rate_limited', by, resetsIn });
}
