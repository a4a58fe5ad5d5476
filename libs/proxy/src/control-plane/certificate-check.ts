import { adminRoutes } from '@ephemera/contract';
import type { Route } from '@ephemera/domain';
import { ApiError } from '@ephemera/domain';
import { type BoundRoute, hostNameOf, route } from '@ephemera/http';
import type { RouteCache } from '@ephemera/store';
import { readAddress } from '../data-plane/address.ts';

export interface CertificateCheck {
  readonly routes: Pick<RouteCache, 'find' | 'findName'>;
  /** Domain of the host form, with or without a port; undefined: there is no host form. */
  readonly domain: string | undefined;
  readonly prefix: string;
}

/**
 * `GET /tls/ask?domain=NAME` for balancers that obtain a certificate when a visitor first connects, such
 * as Caddy (`on_demand_tls`). Anybody can connect with any name, so only names of living instances
 * may have a certificate. The request needs no token, because such a balancer sends none; it tells
 * nothing to a client that does not know the id.
 */
export function certificateRoute({ routes, domain, prefix }: CertificateCheck): BoundRoute {
  // A name of the public URL needs its certificate elsewhere: it is not of an instance.
  const forms = { prefix, domain: domain && hostNameOf(domain), hostNames: { except: '' } };
  return route(adminRoutes.checkHostName, async (ctx, { query }) => {
    const address = readAddress('/', query.domain, forms);
    const id =
      address?.name === undefined ? address?.id : (await routes.findName(address.name))?.id;
    const found = id === undefined ? undefined : await routes.find(id);
    if (!found || !isServed(found.route, address?.port)) {
      throw new ApiError({ kind: 'not_found', what: 'living instance with this host name' });
    }
    ctx.body = { domain: query.domain };
  });
}

/** @param port the name or number before the id; a visitor could otherwise make up any number of names */
function isServed(found: Route, port: string | undefined): boolean {
  switch (found.state) {
    case 'ready': {
      const { ports } = found;
      return port === undefined || Object.entries(ports).flat().map(String).includes(port);
    }
    case 'pending':
    case 'starting':
    case 'paused':
      return port === undefined;
    case 'draining':
    case 'failed':
    case 'gone':
      return false;
  }
}
