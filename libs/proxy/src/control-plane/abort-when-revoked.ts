import { allows } from '@ephemera/domain';
import type { TokenSet } from '@ephemera/http';
import type { Context } from 'koa';
import { principalOf } from './require-token.ts';

/** How often a stream looks whether its token still counts, ms: tokens are read again as often. */
const POLL_INTERVAL_MS = 1_000;

/**
 * How long a stream may go on: aborts once its client has gone, or its token has been taken away or
 * may less than when it was shown; an endless one also when the replica is `stopping`.
 */
export function abortWhenRevoked(
  ctx: Context,
  tokens: Pick<TokenSet, 'named'>,
  stopping?: AbortSignal,
): AbortSignal {
  const { name, fingerprint, scopes } = principalOf(ctx);
  const ended = new AbortController();
  const look = setInterval(() => {
    const now = tokens.named(name, fingerprint);
    if (!now || !scopes.every((scope) => allows(now, scope))) end();
  }, POLL_INTERVAL_MS);
  const end = (): void => {
    clearInterval(look);
    ended.abort();
  };
  ctx.res.once('close', end);
  // It may have gone while its request was looked at.
  if (ctx.res.closed) end();
  return stopping ? AbortSignal.any([ended.signal, stopping]) : ended.signal;
}
