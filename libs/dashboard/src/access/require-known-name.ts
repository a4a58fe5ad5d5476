import { isIP } from 'node:net';
import { ApiError } from '@ephemera/domain';
import type { Middleware } from 'koa';

/**
 * Refuses to answer under a name that is none of ours. A page of a stranger's site can have its
 * own name lead to this machine (DNS rebinding), and is then of the same origin as the dashboard
 * under that name: there is no session for it, but it could guess at tokens. An address cannot be
 * led elsewhere, and neither can `localhost`.
 * @param names in lower case; undefined: any, where the dashboard is not on loopback
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
      const detail = 'this is no name of the dashboard; EPHEMERA_DASHBOARD_NAMES says which are';
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
