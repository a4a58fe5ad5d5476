import { isIP } from 'node:net';
import { ApiError } from '@ephemera/domain';
import type { Middleware } from 'koa';
import { hostNameOf } from './request-target.ts';

/** Health and metrics, which probes and scrapers request under names of their own network. */
const ANY_NAME = /^\/(?:healthz|readyz|readyz\/[^/]*|metrics|tls\/ask)\/?$/i;

/**
 * Refuses requests for an unknown host name, against DNS rebinding: an attacker's page can point its
 * own name at this machine. It is then same-origin with this port under that name, can read each
 * response, and could guess tokens. Addresses and `localhost` cannot be rebound, and browsers send
 * Host with every request.
 *
 * @param names accepted in addition to addresses and `localhost`
 * @param setting the setting of these names, for the message
 * @throws ApiError 421 (RFC 9110 section 15.5.20)
 */
export function requireKnownName(names: readonly string[], setting: string): Middleware {
  const known = names.map(hostNameOf);
  return async (ctx, next) => {
    const host = ctx.get('host');
    const name = hostNameOf(host);
    const isKnown =
      host === '' ||
      isIP(name) !== 0 ||
      name === 'localhost' ||
      name.endsWith('.localhost') ||
      known.includes(name) ||
      ANY_NAME.test(ctx.path);
    if (!isKnown) {
      const detail = `this port does not answer to this host name; add it to ${setting}, or use an IP address`;
      throw new ApiError({ kind: 'invalid', status: 421, faults: [{ path: '', detail }] });
    }
    await next();
  };
}
