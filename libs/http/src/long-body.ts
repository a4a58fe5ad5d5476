import type { Middleware } from 'koa';

/** The longest body, bytes, that is read and discarded to keep a connection. */
const MAX_DISCARDED_BYTES = 1_048_576;

/**
 * Closes the connection after a request whose body is long or of unknown length. Otherwise
 * node:http reads and discards the unread rest of the body, however long, before the next request.
 */
export const closeBehindLongBody: Middleware = async (ctx, next) => {
  const { headers } = ctx.req;
  const isLong =
    headers['transfer-encoding'] !== undefined ||
    Number(headers['content-length'] ?? 0) > MAX_DISCARDED_BYTES;
  if (isLong) ctx.set('connection', 'close');
  await next();
};
