import { createProducers, killQueue } from '@ephemera/queue';
import { createLogger, createMetrics } from '@ephemera/process';
import { keysOf, redisInstances, redisLeases } from '@ephemera/store';
import { memoryContainers, sampleDraft, startRedis } from '@ephemera/test-support';
import type { Instance, InstanceDraft } from '@ephemera/domain';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { recordKill, createWorkerMetrics } from '../src/worker-metrics.ts';
import { HOST } from './docker-fixture.ts';

/** Real Redis, queues and store, with containers in memory. */
export async function openQueues() {
  const server = await startRedis();
  const redis = new Redis(server.url, { maxRetriesPerRequest: null });
  const keys = keysOf('worker-test');
  const { spawns, killJobs: kills, killRequests, close } = createProducers(redis, keys.queuePrefix);
  const instances = redisInstances(redis, keys);
  const containers = memoryContainers();
  const connection = { connection: redis, prefix: keys.queuePrefix };
  const killJobs = new Queue(killQueue(HOST), connection);
  const registry = createMetrics('worker');
  const logger = createLogger('worker', 'silent');
  const metrics = createWorkerMetrics(registry, {
    instances: () => instances.count(),
    overlaps: () => 0,
    eventLog: () => Promise.resolve({ count: 0, max: 1, oldestAt: undefined }),
    deliveries: () => Promise.resolve(0),
    queues: () => Promise.resolve([]),
    now: Date.now,
  });
  const options = { ...connection, logger, metrics };
  return {
    redis,
    instances,
    leases: redisLeases(redis, keys),
    containers,
    spawns,
    kills,
    killRequests,
    killJobs,
    registry,
    options,
    onKilled: recordKill(logger, metrics),
    /** A ready instance. Its kill job is due `early` ms before its deadline. */
    async ready(input: Partial<InstanceDraft> = {}, early = 0): Promise<Instance> {
      const { id, generation } = await instances.create(sampleDraft(input));
      const begun = await instances.assignToHost(id, generation, HOST);
      if (!begun) throw new Error('it could not be begun');
      await containers.start(
        begun,
        () => Promise.resolve(9),
        () => Promise.resolve(true),
      );
      await instances.markReady(id, generation, '10.0.0.9');
      const instance = await instances.get(id);
      if (!instance) throw new Error('it is gone');
      await kills.schedule(instance, Math.max(0, instance.timeout - early));
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
