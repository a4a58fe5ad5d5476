import type { Middleware } from 'koa';

const ALWAYS = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  // Not `no-referrer`: a browser would then send `Origin: null` with every form.
  'referrer-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'cache-control': 'no-store',
};

const FENCE = "form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/** Our own pages bring their style and script as files, and want nothing else. */
const PAGES = `default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; ${FENCE}`;

/**
 * bull-board sets styles on its elements and has a `<base>`. Its web font from elsewhere is
 * refused: no page of the control plane tells a third party that it was opened.
 */
const BOARD = `default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'self'; ${FENCE}`;

/** On every answer, whoever makes it. */
export const securityHeaders: Middleware = async (ctx, next) => {
  ctx.set(ALWAYS);
  ctx.set('content-security-policy', ctx.path.startsWith('/dashboard/queues') ? BOARD : PAGES);
  await next();
  // The names of bull-board's files carry a hash of their content.
  if (ctx.path.startsWith('/dashboard/queues/static/') && ctx.status === 200) {
    ctx.set('cache-control', 'private, max-age=86400, immutable');
  }
};
