import type { KillRequests, KillJobs } from '@ephemera/lifecycle';
import type { Instance } from '@ephemera/domain';
import { createProducers } from '@ephemera/queue';
import {
  connectRedis,
  keysOf,
  redisHosts,
  redisInstances,
  requireRedis,
  storedPoolSpecs,
  type InstanceStore,
} from '@ephemera/store';
import type { WorkerConfig } from './create-worker.ts';

/** The Redis access of `ephemera up` while it ends, when no worker of this host may run. */
export interface RunStore {
  /** Every live instance of the namespace. */
  list(): Promise<Instance[]>;
  /** Whether workers of another host share this Redis. They may take the spawn jobs. */
  hasOtherHosts(host: string): Promise<boolean>;
  readonly instances: InstanceStore;
  readonly pools: ReturnType<typeof storedPoolSpecs>;
  readonly killJobs: KillJobs;
  readonly killRequests: KillRequests;
  close(): Promise<void>;
}

const PAGE = 1_000;

/** @throws BootError if Redis does not answer within five seconds */
export async function openRunStore(
  config: Pick<WorkerConfig, 'redis' | 'namespace' | 'tombstone'>,
): Promise<RunStore> {
  // The failed call reports a connection error, so it is not logged here.
  const redis = connectRedis(config.redis, 'request', () => undefined);
  await requireRedis(redis, config.redis);
  const keys = keysOf(config.namespace);
  const jobs = createProducers(redis, keys.queuePrefix);
  const hosts = redisHosts(redis, keys);
  const instances = redisInstances(redis, keys, config.tombstone);
  return {
    async list() {
      const found: Instance[] = [];
      for (let cursor: number | undefined = 0; cursor !== undefined;) {
        const page = await instances.list({ cursor, limit: PAGE });
        found.push(...page.items);
        cursor = page.nextCursor;
      }
      return found;
    },
    async hasOtherHosts(host) {
      return (await hosts.alive(await instances.now())).some((other) => other !== host);
    },
    instances,
    pools: storedPoolSpecs(redis, keys),
    killJobs: jobs.killJobs,
    killRequests: jobs.killRequests,
    async close() {
      await jobs.close();
      redis.disconnect();
    },
  };
}
