import type { Middleware } from 'koa';

// What every interface of the product does with its own responses.

/** Headers of all responses of the product itself. */
export const OWN_RESPONSE = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
} as const;

/** Headers of responses that no page of another origin may load or frame. */
export const SAME_ORIGIN_ONLY = {
  'cross-origin-resource-policy': 'same-origin',
  'x-frame-options': 'DENY',
} as const;

/** The longest body, bytes, that is read and discarded to keep a connection. */
const MAX_DISCARDED_BYTES = 1_048_576;

/**
 * Closes the connection after a request whose body is long or of unknown length. Otherwise
 * node:http reads and discards the unread rest of the body, however long, before the next request.
 * A parser that refuses a body stops reading it: the rest is read here.
 */
export const closeBehindLongBody: Middleware = async (ctx, next) => {
  const { headers } = ctx.req;
  const isLong =
    headers['transfer-encoding'] !== undefined ||
    Number(headers['content-length'] ?? 0) > MAX_DISCARDED_BYTES;
  if (isLong) ctx.set('connection', 'close');
  await next();
  ctx.req.resume();
};
