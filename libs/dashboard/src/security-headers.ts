import { OWN_RESPONSE, SAME_ORIGIN_ONLY } from '@ephemera/http';
import type { Middleware } from 'koa';

const ALWAYS = {
  ...OWN_RESPONSE,
  ...SAME_ORIGIN_ONLY,
  'cross-origin-opener-policy': 'same-origin',
  // Not `no-referrer`: browsers would then send `Origin: null` with every form.
  'referrer-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
};

const FENCE = "form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/** The dashboard's own pages load style and script as files, and nothing else. */
const PAGES = `default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; ${FENCE}`;

/**
 * bull-board sets inline styles and has a `<base>`. Its external web font is refused, so that no
 * page of the control plane discloses a visit to a third party.
 */
const BOARD = `default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'self'; ${FENCE}`;

/** Set on every response, including those of bull-board. */
export const securityHeaders: Middleware = async (ctx, next) => {
  ctx.set(ALWAYS);
  ctx.set('content-security-policy', ctx.path.startsWith('/dashboard/queues') ? BOARD : PAGES);
  await next();
  // The names of bull-board's files contain a hash of their content.
  if (ctx.path.startsWith('/dashboard/queues/static/') && ctx.status === 200) {
    ctx.set('cache-control', 'private, max-age=86400, immutable');
  }
};
