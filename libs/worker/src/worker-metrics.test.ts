import { createMetrics } from '@ephemera/process';
import { createDeliveries, createProducers } from '@ephemera/queue';
import {
  FIRST,
  connectRedis,
  keysOf,
  readEventLogState,
  readEvents,
  redisInstances,
} from '@ephemera/store';
import { sampleDraft, startRedis } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { createWorkerMetrics } from './worker-metrics.ts';

// A worker's connection retries without end, so its commands wait.
test('a scrape succeeds while Redis is unavailable, with the last value', async () => {
  const server = await startRedis();
  const redis = connectRedis(server.url, 'job', () => undefined);
  const keys = keysOf('worker-metrics');
  const instances = redisInstances(redis, keys);
  const deliveries = createDeliveries(redis, keys.queuePrefix);
  const jobs = createProducers(redis, keys.queuePrefix);
  const registry = createMetrics('worker');
  createWorkerMetrics(registry, {
    instances: () => instances.count(),
    overlaps: () => 0,
    eventLog: () => readEventLogState(redis, keys),
    deliveries: () => deliveries.waiting(),
    queues: () => jobs.depths('host-a'),
    now: () => Date.now() + 60_000,
  });
  await instances.create(sampleDraft());
  const { events } = await readEvents(redis, keys, FIRST, 100);
  const spawn = { id: 'a1', generation: 1 };
  await jobs.spawns.add(spawn);
  await jobs.killJobs.schedule({ ...spawn, host: 'host-a' }, 3_600_000);
  await deliveries.add(events.map((event) => ({ webhook: 'down', event })));
  const text = await registry.metrics();
  expect(text).toContain('ephemera_instances{app="worker"} 1');
  expect(text).toMatch(/^ephemera_stored_events{app="worker"} [1-9]/m);
  const [, oldest] =
    /^ephemera_oldest_event_timestamp_seconds{app="worker"} (.+)$/m.exec(text) ?? [];
  expect(Math.abs(Number(oldest) - Date.now() / 1000)).toBeLessThan(60);
  expect(text).toMatch(/^ephemera_webhook_deliveries_waiting{app="worker"} 1$/m);
  expect(text).toMatch(
    /^ephemera_queue_jobs{queue="instance-spawn",state="waiting",app="worker"} 1$/m,
  );
  expect(text).toMatch(
    /^ephemera_queue_jobs{queue="instance-kill-host-a",state="delayed",app="worker"} 1$/m,
  );
  const age = (queue: string) =>
    Number(
      new RegExp(`^ephemera_queue_oldest_job_age_seconds{queue="${queue}".*} (.+)$`, 'm').exec(
        text,
      )?.[1],
    );
  expect(age('instance-spawn')).toBeGreaterThanOrEqual(60);
  expect(age('instance-kill-host-a')).toBe(0);
  await server.stop();
  const asked = Date.now();
  expect(await registry.metrics()).toContain('ephemera_instances{app="worker"} 1');
  expect(Date.now() - asked).toBeLessThan(3_000);
  redis.disconnect();
  await Promise.all([deliveries.close(), jobs.close()]);
});
