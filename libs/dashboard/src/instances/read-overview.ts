import type { Instance, State } from '@ephemera/domain';
import { countStates } from '@ephemera/store';
import type { HostStatus, Hosts, InstanceStore, Keys } from '@ephemera/store';
import type { Redis } from 'ioredis';

/** What the instances page shows. Times are epoch milliseconds of the store's clock. */
export interface Overview {
  readonly now: number;
  readonly states: Readonly<Partial<Record<State, number>>>;
  readonly items: readonly Instance[];
  readonly cursor: number;
  readonly nextCursor: number | undefined;
  readonly hosts: readonly HostStatus[];
}

/** How many instances stand on one page. */
const LIMIT = 50;

export async function readOverview(
  parts: { redis: Redis; keys: Keys; instances: InstanceStore; hosts: Hosts },
  cursor: number,
): Promise<Overview> {
  const { redis, keys, instances, hosts } = parts;
  const now = await instances.now();
  const [states, page, signs] = await Promise.all([
    countStates(redis, keys),
    instances.list({ cursor, limit: LIMIT }),
    hosts.hostStatuses(now),
  ]);
  return { now, states, ...page, cursor, hosts: signs };
}
