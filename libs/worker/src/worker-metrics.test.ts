import { createMetrics } from '@ephemera/process';
import { connectRedis, keysOf, redisInstances } from '@ephemera/store';
import { sampleDraft, startRedis } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { createWorkerMetrics } from './worker-metrics.ts';

// A worker's connection retries without end, so its commands wait.
test('a scrape succeeds while Redis is unavailable, with the last value', async () => {
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
