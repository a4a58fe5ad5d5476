import type { Instance } from '@ephemera/domain';
import { poolSpecFor } from '@ephemera/lifecycle';
import { createProducers, createRefills } from '@ephemera/queue';
import { createLogger } from '@ephemera/process';
import { connectRedis, keysOf, redisInstances, redisIntake, redisPools } from '@ephemera/store';
import { sampleTemplate, startRedis, waitFor } from '@ephemera/test-support';
import type { StartedRedis } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { startRefillWorker } from './refill-worker.ts';

// Uses real jobs and schedulers, but no daemon: writing the intents fills a pool.

let server: StartedRedis;
let deployments = 0;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());

function open() {
  const keys = keysOf(`refill-${++deployments}`);
  const redis = connectRedis(server.url, 'job', () => undefined);
  const { queuePrefix: prefix } = keys;
  const { killRequests, spawns, close } = createProducers(redis, prefix);
  const instances = redisInstances(redis, keys);
  const pools = redisPools(redis, keys);
  const refills = createRefills(redis, prefix);
  const alive = async (): Promise<Instance[]> =>
    (await instances.list({ cursor: 0, limit: 1000 })).items;
  const intake = redisIntake(redis, keys);
  const worker = startRefillWorker(
    { instances, killRequests, spawns, pools, intake },
    { connection: redis, prefix, logger: createLogger('worker', 'silent') },
  );
  onTestFinished(async () => {
    await worker.close();
    await refills.close();
    await close();
    await redis.quit();
  });
  return {
    refills,
    pools,
    instances,
    async publish(input: Parameters<typeof sampleTemplate>[0]): Promise<string> {
      const spec = poolSpecFor(sampleTemplate(input), 'http://localhost/{id}/');
      if (!spec) throw new Error('it has no pool');
      await pools.setPoolSpecs([spec]);
      return spec.fingerprint;
    },
    alive,
    async warmUp(): Promise<void> {
      for (const { id, generation, state } of await alive()) {
        if (state !== 'pending') continue;
        await instances.assignToHost(id, generation, 'a');
        await instances.markReady(id, generation, '10.0.0.9');
      }
    },
  };
}

test('a pool is refilled on request, and periodically', async () => {
  const { refills, publish, alive, instances } = open();
  await publish({ pool: 3 });
  await refills.request('demo');
  await waitFor('three', async () => (await alive()).length === 3);
  const [first] = await alive();
  const outcome = await instances.startDraining(first?.id ?? '', 'request');
  if (outcome.kind !== 'draining') throw new Error('it did not end');
  await instances.finalize(outcome.instance.id, outcome.instance.generation);
  await refills.every(200);
  await waitFor('another', async () => (await alive()).length === 3);
});

test('when a template changes, its warm instances are replaced', async () => {
  const { refills, publish, alive, pools, warmUp } = open();
  const before = await publish({ pool: 2 });
  await refills.request('demo');
  await waitFor('two', async () => (await alive()).length === 2);
  await warmUp();
  const after = await publish({ pool: 2, env: { COLOUR: 'blue' } });
  await refills.every(200);
  await waitFor('the old ones to end', async () => {
    const states = (await alive()).map(({ pool, state }) => [pool, state]);
    const draining = states.filter(([, state]) => state === 'draining');
    return draining.length === 2 && states.filter(([pool]) => pool === after).length === 2;
  });
  expect(await pools.count(before)).toBe(0);
});

test('a schedule enlarges a pool for its period', async () => {
  const { refills, publish, alive, pools, warmUp } = open();
  const fingerprint = await publish({
    pool: 1,
    schedule: [{ cron: '* * * * * *', ready: 4, for: 700, tz: 'UTC' }],
  });
  const { template } = (await pools.listPoolSpecs())[0] ?? {};
  if (!template) throw new Error('there is no pool spec');
  await refills.schedule([template]);
  await waitFor('four', async () => (await alive()).length === 4);
  await warmUp();
  // The schedule is removed, its period ends, and surplus instances are ended.
  await refills.schedule([]);
  await refills.every(200);
  await waitFor('one', async () => (await pools.count(fingerprint)) === 1);
});

// The configuration refuses such an entry. A library update may still change what can be scheduled.
test('an entry that cannot be scheduled does not stop the others', async () => {
  const { refills, publish, alive } = open();
  const entry = { ready: 1, for: 3_600_000, tz: 'UTC' };
  const schedule = [
    { ...entry, cron: '61 8 * * *' },
    { ...entry, cron: '* * * * * *' },
  ];
  await publish({ schedule });
  const scheduled = refills.schedule([{ name: 'demo', schedule }]);
  await expect(scheduled).rejects.toThrow('not scheduled: schedule.0 of demo');
  await waitFor('the instance of the second entry', async () => (await alive()).length === 1);
});
