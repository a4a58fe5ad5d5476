import { adminRoutes, toHostResource } from '@ephemera/contract';
import type { HostResource } from '@ephemera/contract';
import { ApiError } from '@ephemera/domain';
import { type BoundRoute, route } from '@ephemera/http';
import type { HostRegistry, Hosts } from '@ephemera/store';

export interface HostsApi {
  readonly hosts: Pick<
    Hosts,
    'hostStatuses' | 'capacitiesOf' | 'cordons' | 'cordon' | 'drain' | 'uncordon'
  >;
  readonly hostRegistry: Pick<HostRegistry, 'networksOf'>;
  /** The store's clock, epoch milliseconds. */
  readonly now: () => Promise<number>;
}

/** `/v1/hosts`: the Docker hosts, and taking them out of service. */
export function hostRoutes(api: HostsApi): BoundRoute[] {
  const list = route(adminRoutes.listHosts, async (ctx) => {
    ctx.body = { items: await readHosts(api) };
  });
  const read = route(adminRoutes.readHost, async (ctx, { params: { host } }) => {
    ctx.body = await readHost(api, host);
  });
  const cordon = route(adminRoutes.cordonHost, async (ctx, { params: { host } }) => {
    if (!(await api.hosts.cordon(host))) throw unknownHost();
    ctx.body = await readHost(api, host);
  });
  const uncordon = route(adminRoutes.uncordonHost, async (ctx, { params: { host } }) => {
    await api.hosts.uncordon(host);
    ctx.body = await readHost(api, host);
  });
  const drain = route(adminRoutes.drainHost, async (ctx, { params: { host }, body }) => {
    const { timeout } = body;
    const deadline = timeout === undefined ? undefined : (await api.now()) + timeout * 1000;
    if (!(await api.hosts.drain(host, deadline))) throw unknownHost();
    ctx.body = await readHost(api, host);
  });
  return [list, read, cordon, uncordon, drain];
}

async function readHosts({ hosts, hostRegistry, now }: HostsApi): Promise<HostResource[]> {
  const [statuses, cordons] = await Promise.all([hosts.hostStatuses(await now()), hosts.cordons()]);
  const names = statuses.map(({ host }) => host);
  const [capacities, networks] = await Promise.all([
    hosts.capacitiesOf(names),
    hostRegistry.networksOf(names),
  ]);
  return statuses
    .map((status, i) =>
      toHostResource({
        ...status,
        ...(capacities[i] ?? { max: {}, used: {}, instances: 0 }),
        networks: networks[i] ?? [],
        cordon: cordons.get(status.host),
      }),
    )
    .sort((a, b) => a.name.localeCompare(b.name));
}

async function readHost(api: HostsApi, host: string): Promise<HostResource> {
  const found = (await readHosts(api)).find(({ name }) => name === host);
  if (!found) throw unknownHost();
  return found;
}

function unknownHost(): ApiError {
  return new ApiError({ kind: 'not_found', what: 'host of this name' });
}
