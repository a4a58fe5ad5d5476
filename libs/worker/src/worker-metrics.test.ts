import { createMetrics } from '@ephemera/process';
import { connectRedis, keysOf, redisInstances } from '@ephemera/store';
import { sampleDraft, startRedis } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { createWorkerMetrics } from './worker-metrics.ts';

// The connection of a worker tries again for ever, and what is asked of it waits.
test('a scrape is answered while Redis is away, with the last figure', async () => {
  const server = await startRedis();
  const redis = connectRedis(server.url, 'job', () => undefined);
  const instances = redisInstances(redis, keysOf('worker-metrics'));
  const registry = createMetrics('worker');
  createWorkerMetrics(registry, {
    instances: () => instances.count(),
    overlaps: () => 0,
  });
  await instances.create(sampleDraft());
  expect(await registry.metrics()).toContain('ephemera_instances{app="worker"} 1');
  await server.stop();
  const asked = Date.now();
  expect(await registry.metrics()).toContain('ephemera_instances{app="worker"} 1');
  expect(Date.now() - asked).toBeLessThan(3_000);
  redis.disconnect();
});
