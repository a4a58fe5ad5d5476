import { setTimeout as sleep } from 'node:timers/promises';
import { BootError } from '@ephemera/domain';
import { createLogger } from '@ephemera/process';
import { keysOf, redisHostRegistry } from '@ephemera/store';
import type { HostRegistry } from '@ephemera/store';
import { startRedis } from '@ephemera/test-support';
import type { StartedRedis } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { HostIdTakenError, hostRegistration, readBootId } from './host-registration.ts';

let server: StartedRedis;
let redis: Redis;
beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
});
afterAll(async () => {
  await redis.quit();
  await server.stop();
});

const ONE = '10.231.0.0/16';
const TWO = '10.232.0.0/16';

/** A worker of a host, with a boot id and Docker networks of its own. */
function worker(host: string, input: { boot?: string; networkId?: string; subnets?: string[] }) {
  const keys = keysOf(expect.getState().currentTestName ?? '');
  const { boot = 'boot', networkId = `net-${host}`, subnets = [ONE] } = input;
  const nameOf = (i: number) => (i === 0 ? 'ephemera' : `ephemera.${i + 1}`);
  let networks = subnets.map((subnet, i) => ({ id: `${networkId}${i}`, name: nameOf(i), subnet }));
  let looked: typeof networks | undefined;
  const options = {
    registry: redisHostRegistry(redis, keys),
    host,
    bootId: boot,
    networks: () => networks,
    recheck: () => Promise.resolve(void (networks = looked ?? networks)),
    logger: createLogger('test', 'silent'),
    wait: { timeoutMs: 1_000, intervalMs: 50 },
  };
  return Object.assign(hostRegistration(options), {
    options,
    keys,
    remake(id: string) {
      networks = networks.map((network, i) => ({ ...network, id: `${id}${i}` }));
      return networks;
    },
    finds: (found: typeof networks) => void (looked = found),
    silence: async (ms: number) => {
      const [seconds] = await redis.time();
      await redis.zadd(keys.hosts, String(Number(seconds) * 1000 - ms), host);
    },
  });
}

test('a network of another live host refuses the start, and the message names the cure', async () => {
  await worker('a', {}).start();
  const start = worker('b', {}).start();
  await expect(start).rejects.toThrow(BootError);
  await expect(start).rejects.toThrow(
    /10\.231\.0\.0\/16 of the host b overlaps the network 10\.231\.0\.0\/16 of the host a.*EPHEMERA_SUBNET.*"ephemera"/,
  );
});

test('with the check off, the same start succeeds: nothing else refuses it', async () => {
  await worker('a', {}).start();
  const { options } = worker('b', {});
  const registry: Pick<HostRegistry, 'register'> = {
    register: () => Promise.resolve({ kind: 'registered' }),
  };
  await hostRegistration({ ...options, registry }).start();
});

test('the id of another live daemon refuses the start, and the message names the cure', async () => {
  await worker('a', {}).start();
  const clone = worker('a', { boot: 'another boot', subnets: [TWO] }).start();
  await expect(clone).rejects.toThrow(/host id "a" belongs to another.*EPHEMERA_HOST_ID/);
  const beside = worker('a', { networkId: 'another network', subnets: [TWO] }).start();
  await expect(beside).rejects.toThrow(BootError);
});

test('a start waits for the heartbeat of before the reboot to expire, and no longer than for that', async () => {
  const before = worker('a', { boot: 'before' });
  await before.start();
  await before.silence(14_500);
  const began = performance.now();
  await worker('a', { boot: 'after' }).start();
  // The clock of the store counts in whole seconds here.
  expect(performance.now() - began).toBeLessThan(1_500);
});

test('a start does not wait to the end where the other host sends a heartbeat', async () => {
  const other = worker('a', { boot: 'other' });
  await other.start();
  const { options } = worker('a', { boot: 'this' });
  const began = performance.now();
  const start = hostRegistration({
    ...options,
    wait: { timeoutMs: 30_000, intervalMs: 50 },
  }).start();
  const refused = expect(start).rejects.toThrow(BootError);
  await sleep(100);
  await other.heartbeat();
  await refused;
  expect(performance.now() - began).toBeLessThan(10_000);
});

test('several workers beside one daemon pass, also where one makes the network anew', async () => {
  const [item, two] = [worker('a', {}), worker('a', {})];
  await item.start();
  await two.start();
  const networks = item.remake('anew');
  await item.heartbeat();
  // The other has not looked yet: it looks, and follows.
  two.finds(networks);
  await two.heartbeat();
  await item.heartbeat();
});

test('who makes the network anew registers it before the first instance is on it', async () => {
  const item = worker('a', {});
  await item.start();
  expect(await item.claim({ id: 'anew', name: 'ephemera', subnet: TWO })).toBeUndefined();
  item.remake('anew');
  const registry = redisHostRegistry(redis, item.keys);
  expect(await registry.networksOf(['a'])).toEqual([[ONE, TWO]]);
});

test('a worker whose host id another daemon has taken does not go on', async () => {
  const item = worker('a', {});
  await item.start();
  await item.silence(16_000);
  await worker('a', { boot: 'another', subnets: [TWO] }).start();
  await expect(item.heartbeat()).rejects.toThrow(HostIdTakenError);
  expect(await item.claim({ id: 'x', name: 'ephemera.2', subnet: TWO })).toMatch(/host id "a"/);
});

test('a host that lost its network while it was cut off starts nothing until it has it again', async () => {
  const item = worker('a', {});
  await item.start();
  await item.heartbeat();
  expect([item.conflict, item.overlaps]).toEqual([undefined, 0]);
  await item.silence(16_000);
  const other = worker('b', {});
  await other.start();
  await item.heartbeat();
  expect(item.conflict).toMatch(
    /of the host a overlaps the network 10\.231\.0\.0\/16 of the host b/,
  );
  expect(item.overlaps).toBe(1);
  await other.silence(16_000);
  await item.heartbeat();
  expect([item.conflict, item.overlaps]).toEqual([undefined, 0]);
});

test('a further network that overlaps another host is refused, and the others stay', async () => {
  const item = worker('a', {});
  await item.start();
  await worker('b', { subnets: [TWO] }).start();
  const refusal = await item.claim({ id: 'x', name: 'ephemera.2', subnet: TWO });
  expect(refusal).toMatch(/10\.232\.0\.0\/16 of the host a overlaps .* of the host b/);
  const three = { id: 'x', name: 'ephemera.2', subnet: '10.233.0.0/16' };
  expect(await item.claim(three)).toBeUndefined();
  const registry = redisHostRegistry(redis, item.keys);
  expect(await registry.networksOf(['a'])).toEqual([[ONE, '10.233.0.0/16']]);
});

test('the boot id is that of the kernel', async () => {
  expect(await readBootId()).toMatch(/^[0-9a-f-]{36}$/);
});
