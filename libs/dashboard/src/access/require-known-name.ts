import { isIP } from 'node:net';
import { ApiError } from '@ephemera/domain';
import type { Middleware } from 'koa';

/**
 * Refuses requests for an unknown host name, against DNS rebinding. An attacker's page can point
 * its own name at this machine; it is then same-origin with the dashboard under that name. It has
 * no session, but it could guess tokens. Addresses and `localhost` cannot be rebound.
 * @param names in lower case; undefined: any name, if the dashboard is not bound to loopback
 * @throws ApiError 421
 */
export function requireKnownName(names: readonly string[] | undefined): Middleware {
  return async (ctx, next) => {
    const name = nameOf(ctx.get('host'));
    const isKnown =
      names === undefined ||
      isIP(name) !== 0 ||
      name === 'localhost' ||
      name.endsWith('.localhost') ||
      names.includes(name);
    if (!isKnown) {
      const detail =
        'the dashboard does not answer to this host name; add it to EPHEMERA_DASHBOARD_NAMES';
      throw new ApiError({ kind: 'invalid', status: 421, faults: [{ path: '', detail }] });
    }
    await next();
  };
}

/** The name or address in a Host, without port and brackets. */
function nameOf(host: string): string {
  return host
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();
}
