import { createProducers, killQueue } from '@ephemera/queue';
import { createLogger, createMetrics } from '@ephemera/process';
import { keysOf, redisInstances, redisLeases } from '@ephemera/store';
import { memoryContainers, sampleDraft, startRedis } from '@ephemera/test-support';
import type { Instance, InstanceDraft } from '@ephemera/domain';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { tellKills } from '../src/tell-kills.ts';
import { createWorkerMetrics } from '../src/worker-metrics.ts';
import { HOST } from './docker-fixture.ts';

/** Real Redis, real queues and the real store, with containers in memory. */
export async function openQueues() {
  const server = await startRedis();
  const redis = new Redis(server.url, { maxRetriesPerRequest: null });
  const keys = keysOf('worker-test');
  const { spawns, kills, ends, close } = createProducers(redis, keys.queuePrefix);
  const instances = redisInstances(redis, keys);
  const containers = memoryContainers();
  const connection = { connection: redis, prefix: keys.queuePrefix };
  const killJobs = new Queue(killQueue(HOST), connection);
  const registry = createMetrics('worker');
  const logger = createLogger('worker', 'silent');
  const metrics = createWorkerMetrics(registry, () => instances.count());
  const options = { ...connection, logger, metrics };
  return {
    redis,
    instances,
    leases: redisLeases(redis, keys),
    containers,
    spawns,
    kills,
    ends,
    killJobs,
    registry,
    options,
    onKilled: tellKills(logger, metrics),
    /** An instance that serves, whose kill job is armed `early` ms before its deadline. */
    async ready(given: Partial<InstanceDraft> = {}, early = 0): Promise<Instance> {
      const { id, generation } = await instances.create(sampleDraft(given));
      const begun = await instances.begin(id, generation, HOST);
      if (!begun) throw new Error('it could not be begun');
      await containers.start(
        begun,
        () => Promise.resolve(9),
        () => Promise.resolve(true),
      );
      await instances.publish(id, generation, '10.0.0.9');
      const instance = await instances.get(id);
      if (!instance) throw new Error('it is gone');
      await kills.arm(instance, Math.max(0, instance.timeout - early));
      return instance;
    },
    async close() {
      await killJobs.close();
      await close();
      await redis.quit();
      await server.stop();
    },
  };
}
