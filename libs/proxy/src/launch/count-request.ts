import { FailureError } from '@ephemera/domain';
import type { Shares } from '@ephemera/config';
import type { Rates } from '@ephemera/store';
import type { Context } from 'koa';

/**
 * Counts a request for an instance, and tells in the fields `RateLimit` and `RateLimit-Policy`
 * (draft-ietf-httpapi-ratelimit-headers) what is left.
 * @throws FailureError rate_limited; what Redis throws while it is away, when nothing is created
 */
export async function countRequest(
  ctx: Pick<Context, 'res'>,
  rates: Rates,
  shares: Shares,
  by: 'address' | 'token',
  account: string,
): Promise<void> {
  const rate = by === 'token' ? shares.ratePerToken : shares.ratePerAddress;
  if (rate === undefined) return;
  const { allowed, remaining, resetsIn } = await rates.take(account, rate);
  // On the bare response: an answer to what is thrown keeps them.
  ctx.res.setHeader('ratelimit-policy', `"${by}";q=${rate.points};w=${rate.seconds}`);
  ctx.res.setHeader('ratelimit', `"${by}";r=${remaining};t=${resetsIn}`);
  if (!allowed) throw new FailureError({ kind: 'rate_limited', by, resetsIn });
}
