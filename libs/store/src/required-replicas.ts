import { parseSentinelUrl, sentinelNodeOptions } from '@ephemera/domain';
import type { RedisAddress } from '@ephemera/domain';
import { Redis } from 'ioredis';
import { closeDeadConnections } from './dead-peer.ts';
import { endOnDisconnect } from './end-on-disconnect.ts';

/** How many replicas must have a write before a failover cannot lose it. */
export interface RequiredReplicas {
  /** The number now; Infinity until a majority of the sentinels has answered at once. */
  read(): Promise<number>;
  /** The number at the last read; at least 1. */
  readonly last: number;
  close(): void;
}

/**
 * Counts the replicas that the sentinels could promote.
 *
 * One replica is not enough where there are several. A sentinel promotes one replica, and for up to
 * 11 s the old master goes on with the others: they acknowledge writes that are lost when all of them
 * follow the new master. The promoted replica no longer acknowledges to the old master. So a write is
 * safe only if all replicas that could be promoted have it.
 *
 * A replica that the sentinels cannot reach is not promoted, and does not count: its failure stops
 * creations only until the sentinels have noticed it. Of several answers the largest counts. A
 * minority may be cut off from replicas that the others can promote, so it can raise the last number,
 * but not lower it.
 */
export function sentinelReplicas(address: RedisAddress): RequiredReplicas {
  const { sentinels, master } = parseSentinelUrl(address.url);
  const connections = sentinels.map((node) => {
    const sentinel = endOnDisconnect(
      new Redis({
        ...sentinelNodeOptions(node, address),
        protocol: 2,
        enableReadyCheck: false,
        enableOfflineQueue: false,
        maxRetriesPerRequest: 0,
        connectTimeout: 2_000,
        disconnectTimeout: 200,
        commandTimeout: 500,
        retryStrategy: () => 1_000,
      }),
    );
    // While another sentinel answers, this is no failure.
    sentinel.on('error', () => undefined);
    closeDeadConnections(sentinel);
    return sentinel;
  });
  let last: number | undefined;
  const countAt = async (sentinel: Redis): Promise<number | undefined> => {
    try {
      const replicas = (await sentinel.call('SENTINEL', 'REPLICAS', master)) as string[][];
      return replicas.filter(isPromotable).length;
    } catch {
      return undefined;
    }
  };
  return {
    async read() {
      const counts = (await Promise.all(connections.map(countAt))).filter(
        (count) => count !== undefined,
      );
      const isMajority = counts.length > connections.length / 2;
      if (isMajority) last = Math.max(1, ...counts);
      else if (last !== undefined) last = Math.max(last, ...counts);
      return last ?? Infinity;
    },
    get last() {
      return last ?? 1;
    },
    close() {
      for (const sentinel of connections) sentinel.disconnect();
    },
  };
}

/** @param fields of a replica, as `SENTINEL REPLICAS` lists them: names and values in turn */
function isPromotable(fields: readonly string[]): boolean {
  const flags = (fields[fields.indexOf('flags') + 1] ?? '').split(',');
  return !['s_down', 'o_down', 'disconnected'].some((flag) => flags.includes(flag));
}
