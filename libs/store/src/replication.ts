import { ApiError } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import type { RequiredReplicas } from './required-replicas.ts';

/** How long a creation waits for the replicas, ms. */
const WAIT_MS = 1_000;

/**
 * Reads the generations of instances, 0 for an unknown one, and writes the marker.
 * KEYS: 1 the marker, 2… instances.
 */
const CONFIRM = `
local generations = {}
for i = 2, #KEYS do generations[i - 1] = tonumber(redis.call('HGET', KEYS[i], 'generation') or 0) end
redis.call('SET', KEYS[1], '1')
return generations`;

/** The instance, in the state that a client is told. */
export type Confirmed = Pick<Instance, 'id' | 'generation'>;

/** Confirms that the replicas have what a client is told. */
export interface Replication {
  /**
   * Resolves when the replicas have this generation of an instance or a later one, and all that was
   * written before this call. A failover then keeps it. The record alone says nothing of a claim: it
   * exists since the instance was started for its pool, under an earlier generation.
   * @throws ApiError `store_unavailable` if they do not confirm in time, or if a failover has lost this
   * generation
   */
  confirm(instance: Confirmed): Promise<void>;
}

/** Where there are no replicas, every write is as safe as Redis itself. */
export const noReplication: Replication = { confirm: () => Promise.resolve() };

type Confirmation = Confirmed & PromiseWithResolvers<void>;
function waitingFor({ id, generation }: Confirmed): Confirmation {
  const resolvers: PromiseWithResolvers<void> = Promise.withResolvers();
  return { id, generation, ...resolvers };
}

/**
 * Confirmation by WAIT.
 *
 * WAIT covers the writes of its own connection and blocks it. So this connection is used for nothing
 * else, and writes a marker before each WAIT: the replication stream is ordered, so a replica that has
 * the marker has every earlier write. The script that writes the marker also reads the record. After a
 * failover it finds none, whichever connection notices the failover first.
 *
 * Confirmations that arrive during a WAIT share the next one. How many replicas are required is read
 * after it, because a failover may begin at any time. If that is more than WAIT waited for, it waited
 * too short, and all is done once more. WAIT alone would not do: on a new connection it waits for
 * nothing.
 * @param redis a dedicated connection with the `request` profile
 */
export function redisReplication(
  redis: Redis,
  keys: Keys,
  replicas: Pick<RequiredReplicas, 'read' | 'last'>,
): Replication {
  let waiting = new Map<string, Confirmation>();
  let running: Promise<void> | undefined;

  /** The generations in the store, and how many replicas have them. */
  const waitForReplicas = async (batch: readonly Confirmed[], count: number) => {
    const instances = batch.map(({ id }) => keys.instance(id));
    const replies = await redis
      .pipeline()
      .eval(CONFIRM, instances.length + 1, keys.confirmed, ...instances)
      .call('WAIT', count, WAIT_MS)
      .exec();
    const [generations, acknowledged] = (replies ?? []).map(([error, value]) => {
      if (error) throw error;
      return value;
    }) as [number[], number];
    return { generations, acknowledged, required: await replicas.read() };
  };

  const confirmAll = async (batch: readonly Confirmation[]): Promise<void> => {
    try {
      const asked = replicas.last;
      let answer = await waitForReplicas(batch, asked);
      const { acknowledged, required } = answer;
      if (acknowledged >= asked && acknowledged < required && Number.isFinite(required)) {
        answer = await waitForReplicas(batch, required);
      }
      const isReplicated = answer.acknowledged >= answer.required;
      for (const [i, { generation, resolve, reject }] of batch.entries()) {
        if (isReplicated && (answer.generations[i] ?? 0) >= generation) resolve();
        else reject(new ApiError({ kind: 'store_unavailable' }));
      }
    } catch (cause) {
      const error = new ApiError({ kind: 'store_unavailable' }, { cause });
      for (const { reject } of batch) reject(error);
    }
  };

  const run = async (): Promise<void> => {
    while (waiting.size > 0) {
      const batch = [...waiting.values()];
      waiting = new Map();
      await confirmAll(batch);
    }
    running = undefined;
  };

  return {
    confirm(instance) {
      const key = `${instance.id} ${instance.generation}`;
      const confirmation = waiting.get(key) ?? waitingFor(instance);
      waiting.set(key, confirmation);
      running ??= run();
      return confirmation.promise;
    },
  };
}
