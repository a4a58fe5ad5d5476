import { setTimeout as sleep } from 'node:timers/promises';
import { BootError } from '@ephemera/domain';
import { createLogger } from '@ephemera/process';
import { keysOf, redisHostRegistry } from '@ephemera/store';
import type { HostRegistry } from '@ephemera/store';
import { startRedis } from '@ephemera/test-support';
import type { StartedRedis } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { HostReach } from './host-reach.ts';
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

/** A worker of a host with its own boot id and Docker networks. */
function worker(
  host: string,
  input: { boot?: string; networkId?: string; subnets?: string[]; reach?: HostReach },
) {
  const keys = keysOf(expect.getState().currentTestName ?? '');
  const { boot = 'boot', networkId = `net-${host}`, subnets = [ONE], reach } = input;
  const nameOf = (i: number) => (i === 0 ? 'ephemera' : `ephemera.${i + 1}`);
  let networks = subnets.map((subnet, i) => ({ id: `${networkId}${i}`, name: nameOf(i), subnet }));
  let looked: typeof networks | undefined;
  const options = {
    registry: redisHostRegistry(redis, keys),
    reach,
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

test('a start fails if a live host has the network, and the message names the fix', async () => {
  await worker('a', {}).start();
  const start = worker('b', {}).start();
  await expect(start).rejects.toThrow(BootError);
  await expect(start).rejects.toThrow(
    /10\.231\.0\.0\/16 of the host b overlaps the network 10\.231\.0\.0\/16 of the host a.*EPHEMERA_SUBNET.*"ephemera"/,
  );
});

test('control: without the check, the same start succeeds', async () => {
  await worker('a', {}).start();
  const { options } = worker('b', {});
  const registry: Pick<HostRegistry, 'register'> = {
    register: () => Promise.resolve({ kind: 'registered' }),
  };
  await hostRegistration({ ...options, registry }).start();
});

test('a start fails if a live daemon has the id, and the message names the fix', async () => {
  await worker('a', {}).start();
  const clone = worker('a', { boot: 'another boot', subnets: [TWO] }).start();
  await expect(clone).rejects.toThrow(/host id "a" belongs to another.*EPHEMERA_HOST_ID/);
  const beside = worker('a', { networkId: 'another network', subnets: [TWO] }).start();
  await expect(beside).rejects.toThrow(BootError);
});

describe('with published ports', () => {
  const published = (address: string, proxies = ['10.0.0.11/32']): HostReach => ({
    kind: 'published',
    ports: { first: 20_000, last: 20_099 },
    proxies,
    address,
  });

  test('two hosts may have the same network, but not the same address', async () => {
    const first = worker('a', { reach: published('10.0.0.21') });
    await first.start();
    await worker('b', { reach: published('10.0.0.22') }).start();
    const { registry } = first.options;
    expect(await registry.networksOf(['a', 'b'])).toEqual([['10.0.0.21/32'], ['10.0.0.22/32']]);
    const clone = worker('c', { reach: published('10.0.0.21') }).start();
    await expect(clone).rejects.toThrow(/EPHEMERA_ADVERTISE is 10\.0\.0\.21.*of the host a/);
  });

  test('none has containers in a network of a host with another reach', async () => {
    await worker('a', { subnets: [TWO] }).start();
    const first = worker('b', { reach: published('10.0.0.22') });
    await first.start();
    expect(await first.claim({ id: 'more', name: 'ephemera.2', subnet: TWO })).toMatch(
      /10\.232\.0\.0\/16 of the host b overlaps .* of the host a/,
    );
    const three = { id: 'more', name: 'ephemera.2', subnet: '10.233.0.0/16' };
    expect(await first.claim(three)).toBeUndefined();
    expect(await first.options.registry.networksOf(['b'])).toEqual([['10.0.0.22/32']]);
    const bridge = worker('c', { subnets: [ONE] }).start();
    await expect(bridge).rejects.toThrow(
      /10\.231\.0\.0\/16 of the host c overlaps .* of the host b/,
    );
  });

  test('all workers of a host have the same address and the same proxies', async () => {
    await worker('a', { reach: published('10.0.0.21') }).start();
    const moved = worker('a', { reach: published('10.0.0.22') }).start();
    await expect(moved).rejects.toThrow(
      /EPHEMERA_ADVERTISE is 10\.0\.0\.22, .*has 10\.0\.0\.21.*stop all of them/,
    );
    const wider = worker('a', { reach: published('10.0.0.21', ['10.0.0.0/24']) }).start();
    await expect(wider).rejects.toThrow(/EPHEMERA_PROXIES is 10\.0\.0\.0\/24, .*another list/);
  });

  test('a worker with another reach than its host does not start, and one that runs stops', async () => {
    const first = worker('a', {});
    await first.start();
    const second = worker('a', { reach: published('10.0.0.21') });
    await expect(second.start()).rejects.toThrow(
      /EPHEMERA_REACH is published, and another worker of the host a.*bridge.*stop all of them/,
    );
    // As if the first worker had sent no heartbeat for a while.
    await first.silence(15_500);
    await second.start();
    await expect(first.heartbeat()).rejects.toThrow(HostIdTakenError);
  });
});

test('a start waits until the heartbeat from before the reboot has expired', async () => {
  const before = worker('a', { boot: 'before' });
  await before.start();
  await before.silence(14_500);
  const began = performance.now();
  await worker('a', { boot: 'after' }).start();
  // The store's clock has a resolution of one second here.
  expect(performance.now() - began).toBeLessThan(1_500);
});

test('a start fails early if the other host sends a heartbeat', async () => {
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

test('several workers of one daemon can start, even if one recreates the network', async () => {
  const [item, two] = [worker('a', {}), worker('a', {})];
  await item.start();
  await two.start();
  const networks = item.remake('recreated');
  await item.heartbeat();
  // The other worker reads the networks again and registers the new id.
  two.finds(networks);
  await two.heartbeat();
  await item.heartbeat();
});

test('a worker that recreates the network registers it before the first instance uses it', async () => {
  const item = worker('a', {});
  await item.start();
  expect(await item.claim({ id: 'recreated', name: 'ephemera', subnet: TWO })).toBeUndefined();
  item.remake('recreated');
  const registry = redisHostRegistry(redis, item.keys);
  expect(await registry.networksOf(['a'])).toEqual([[ONE, TWO]]);
});

test('a worker stops if another daemon has taken its host id', async () => {
  const item = worker('a', {});
  await item.start();
  await item.silence(16_000);
  await worker('a', { boot: 'another', subnets: [TWO] }).start();
  await expect(item.heartbeat()).rejects.toThrow(HostIdTakenError);
  expect(await item.claim({ id: 'x', name: 'ephemera.2', subnet: TWO })).toMatch(/host id "a"/);
});

test('a host whose network was taken while Redis was unreachable starts no instance until it has it again', async () => {
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

test('an overlapping further network is refused, and the others stay registered', async () => {
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

test('readBootId returns the boot id of the kernel', async () => {
  expect(await readBootId()).toMatch(/^[0-9a-f-]{36}$/);
});
