import type { Instance, State } from '@ephemera/domain';
import { countStates, redisHostRegistry } from '@ephemera/store';
import type { HostStatus, Hosts, InstanceStore, Keys } from '@ephemera/store';
import type { Redis } from 'ioredis';

/** The data of the instances page. Times are epoch milliseconds of the store's clock. */
export interface Overview {
  readonly now: number;
  readonly states: Readonly<Partial<Record<State, number>>>;
  readonly items: readonly Instance[];
  readonly cursor: number;
  readonly nextCursor: number | undefined;
  readonly hosts: readonly (HostStatus & { readonly networks: readonly string[] })[];
}

/** How many instances one page lists. */
const LIMIT = 50;

export async function readOverview(
  parts: { redis: Redis; keys: Keys; instances: InstanceStore; hosts: Hosts },
  cursor: number,
): Promise<Overview> {
  const { redis, keys, instances, hosts } = parts;
  const now = await instances.now();
  const [states, page, statuses] = await Promise.all([
    countStates(redis, keys),
    instances.list({ cursor, limit: LIMIT }),
    hosts.hostStatuses(now),
  ]);
  const networks = await redisHostRegistry(redis, keys).networksOf(
    statuses.map(({ host }) => host),
  );
  const registered = statuses.map((status, i) => ({ ...status, networks: networks[i] ?? [] }));
  return { now, states, ...page, cursor, hosts: registered };
}
