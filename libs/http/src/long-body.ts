import type { Middleware } from 'koa';

/** The longest body, bytes, that is read to its end and dropped to keep a connection. */
const MAX_DELAY_MS = 1_048_576;

/**
 * Closes the connection behind a request whose body is long, or of unknown length. node:http reads
 * and drops what nobody has read of a body before it takes the next request, however much that is.
 */
export const closeBehindLongBody: Middleware = async (ctx, next) => {
  const { headers } = ctx.req;
  const isLong =
    headers['transfer-encoding'] !== undefined ||
    Number(headers['content-length'] ?? 0) > MAX_DELAY_MS;
  if (isLong) ctx.set('connection', 'close');
  await next();
};
