import { ApiError } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import type { RequiredReplicas } from './required-replicas.ts';

/** How long a creation waits for the replicas, ms. */
const WAIT_MS = 1_000;

/** Reads which instances are known, and writes the marker. KEYS: 1 the marker, 2… instances. */
const CONFIRM = `
local known = {}
for i = 2, #KEYS do known[i - 1] = redis.call('EXISTS', KEYS[i]) end
redis.call('SET', KEYS[1], '1')
return known`;

/** Confirms that the replicas have what a client is told. */
export interface Replication {
  /**
   * Resolves when the replicas have the record of an instance, and all that was written before this
   * call. A failover then keeps it.
   * @throws ApiError `store_unavailable` if they do not confirm in time, or if a failover has lost the
   * record
   */
  confirm(id: string): Promise<void>;
}

/** Where there are no replicas, every write is as safe as Redis itself. */
export const noReplication: Replication = { confirm: () => Promise.resolve() };

type Confirmation = PromiseWithResolvers<void>;
const withResolvers = (): Confirmation => Promise.withResolvers();

/**
 * Confirmation by WAIT.
 *
 * WAIT covers the writes of its own connection and blocks it. So this connection is used for nothing
 * else, and writes a marker before each WAIT: the replication stream is ordered, so a replica that has
 * the marker has every earlier write. The script that writes the marker also reads the record. After a
 * failover it finds none, whichever connection notices the failover first.
 *
 * Confirmations that arrive during a WAIT share the next one. How many replicas are required is read
 * after it, because a failover may begin at any time.
 * @param redis a dedicated connection with the `request` profile
 */
export function redisReplication(
  redis: Redis,
  keys: Keys,
  replicas: Pick<RequiredReplicas, 'read' | 'last'>,
): Replication {
  let waiting = new Map<string, Confirmation>();
  let running: Promise<void> | undefined;

  const confirmAll = async (batch: typeof waiting): Promise<void> => {
    const ids = [...batch.keys()];
    try {
      const replies = await redis
        .pipeline()
        .eval(CONFIRM, ids.length + 1, keys.confirmed, ...ids.map((id) => keys.instance(id)))
        .call('WAIT', replicas.last, WAIT_MS)
        .exec();
      const [known, acknowledged] = (replies ?? []).map(([error, value]) => {
        if (error) throw error;
        return value;
      }) as [number[], number];
      const required = await replicas.read();
      for (const [i, id] of ids.entries()) {
        if (known[i] === 1 && acknowledged >= required) batch.get(id)?.resolve();
        else batch.get(id)?.reject(new ApiError({ kind: 'store_unavailable' }));
      }
    } catch (cause) {
      const error = new ApiError({ kind: 'store_unavailable' }, { cause });
      for (const { reject } of batch.values()) reject(error);
    }
  };

  const run = async (): Promise<void> => {
    while (waiting.size > 0) {
      const batch = waiting;
      waiting = new Map();
      await confirmAll(batch);
    }
    running = undefined;
  };

  return {
    confirm(id) {
      const confirmation = waiting.get(id) ?? withResolvers();
      waiting.set(id, confirmation);
      running ??= run();
      return confirmation.promise;
    },
  };
}
