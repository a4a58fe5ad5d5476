import { createSigningKeys } from '@ephemera/config';
import { poolSpecFor } from '@ephemera/lifecycle';
import { keysOf, redisPools } from '@ephemera/store';
import { sampleTemplate, startRedis } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { openRunStore } from './run-store.ts';
import { NOTHING, snapshotSchema } from './snapshot.ts';

// `npm start` reads the pools before its start and restores them at its end. It has no signing key
// of the deployment whose pools these are.
test('restored pools keep their signatures, and unsigned ones stay refused', async () => {
  const server = await startRedis();
  const redis = new Redis(server.url);
  const config = { namespace: 'restored', redis: { url: server.url }, tombstone: 1_000 };
  const store = await openRunStore(config);
  onTestFinished(async () => {
    await store.close();
    redis.disconnect();
    await server.stop();
  });
  const refused: string[] = [];
  const keys = keysOf(config.namespace);
  const signer = createSigningKeys(() => ['k'.repeat(32)]);
  const signing = redisPools(redis, keys, signer, (template) => refused.push(template));
  const spec = poolSpecFor(sampleTemplate({ pool: 2 }), 'http://127.0.0.1/demo/{id}/');
  if (!spec) throw new Error('the template has no pool');
  const unsigned = { ...spec, template: { ...spec.template, name: 'unsigned' } };
  await signing.setPoolSpecs([spec]);
  await redis.hset(keys.pools, 'unsigned', JSON.stringify(unsigned));

  const printed = JSON.stringify({ ...NOTHING, pools: await store.pools.read() });
  await signing.setPoolSpecs([{ ...spec, template: { ...spec.template, name: 'of-this-start' } }]);
  await store.pools.replace(snapshotSchema.parse(JSON.parse(printed)).pools ?? {});
  expect(await signing.listPoolSpecs()).toEqual([spec]);
  expect(refused).toEqual(['unsigned']);

  await store.pools.replace({});
  expect(await redis.exists(keys.pools)).toBe(0);
});
