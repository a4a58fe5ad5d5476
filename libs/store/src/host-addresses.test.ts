import { expect, test } from 'vitest';
import { openRedis } from '../test/open-redis.ts';
import { redisHostAddresses } from './host-addresses.ts';
import { keysOf } from './keys.ts';
import { HOST_ALIVE_TIMEOUT_MS } from './limits.ts';

const { redis } = await openRedis();

const address = (name: string) => ({
  url: `https://${name}:1`,
  fingerprint: name,
  signature: `signed ${name}`,
});
let namespaces = 0;
function open() {
  const keys = keysOf(`ns${namespaces++}`);
  return { addresses: redisHostAddresses(redis, keys), key: keys.hostAddresses('a') };
}

test('the addresses of a host come with the latest heartbeat first, without signs of others', async () => {
  const { addresses } = open();
  await addresses.register('a', address('w1'), 1_000);
  await addresses.register('a', address('w2'), 2_000);
  await addresses.register('b', address('w3'), 3_000);
  const names = async () => (await addresses.of('a', 3_000)).map(({ fingerprint }) => fingerprint);
  expect(await names()).toEqual(['w2', 'w1']);
  await addresses.register('a', address('w1'), 2_500);
  expect(await names()).toEqual(['w1', 'w2']);
  expect((await addresses.of('a', 3_000))[0]).toMatchObject(address('w1'));
  await addresses.remove('a', 'w1');
  expect(await names()).toEqual(['w2']);
  expect(await addresses.of('c', 3_000)).toEqual([]);
});

test('a worker without a heartbeat is ignored after the timeout of a host, and pruned', async () => {
  const { addresses, key } = open();
  const later = 1_000 + HOST_ALIVE_TIMEOUT_MS;
  await addresses.register('a', address('w1'), 1_000);
  await addresses.register('a', address('w2'), later);
  expect(await addresses.of('a', later - 1)).toHaveLength(2);
  expect(await addresses.of('a', later)).toMatchObject([address('w2')]);
  expect(await redis.hlen(key)).toBe(2);
  await addresses.prune('a', later);
  expect(await redis.hkeys(key)).toEqual(['w2']);
  await addresses.prune('b', later);
});

test('the key expires after its last worker, whatever the number of heartbeats', async () => {
  const { addresses, key } = open();
  for (let at = 1_000; at < 4 * HOST_ALIVE_TIMEOUT_MS; at += 5_000) {
    await addresses.register('a', address('w1'), at);
    // As if the time since the last heartbeat had passed for the key too.
    await redis.pexpire(key, (await redis.pttl(key)) - 5_000);
    expect(await redis.pttl(key)).toBeGreaterThan(HOST_ALIVE_TIMEOUT_MS);
  }
});
