import { expect, test, vi } from 'vitest';
import { openRedis } from '../test/open-redis.ts';
import { redisHostRegistry, registeredEndpoints } from './host-registry.ts';
import type { HostClaim } from './host-registry.ts';
import { redisHosts } from './hosts.ts';
import { keysOf } from './keys.ts';

const { redis } = await openRedis();

/** A registry of the test's own; a host of it has the boot id and the network id `of`. */
function open() {
  const keys = keysOf(expect.getState().currentTestName ?? '');
  const registry = redisHostRegistry(redis, keys);
  const claimOf = (host: string, networks: string[], of = host): HostClaim => ({
    host,
    fingerprint: { bootId: `boot-${of}`, networkId: `net-${of}` },
    networks,
  });
  return {
    keys,
    hosts: redisHosts(redis, keys),
    networks: async (...hosts: string[]) => registry.networksOf(hosts),
    claimOf,
    start: (host: string, networks: string[], of?: string) =>
      registry.register(claimOf(host, networks, of), 'start'),
    refresh: (host: string, networks: string[], more: Partial<HostClaim> = {}) =>
      registry.register({ ...claimOf(host, networks), ...more }, 'refresh'),
    /** As if its last heartbeat were this many milliseconds ago. */
    async silence(host: string, ms: number) {
      const [seconds] = await redis.time();
      await redis.zadd(keys.hosts, String(Number(seconds) * 1000 - ms), host);
    },
  };
}

const ONE = '10.231.0.0/16';
const TWO = '10.232.0.0/16';
const registered = { kind: 'registered' };

test('a host registers its networks, and is alive from then on', async () => {
  const { start, networks, hosts } = open();
  expect(await start('a', [ONE, TWO])).toEqual(registered);
  expect(await networks('a', 'b')).toEqual([[ONE, TWO], []]);
  const [seconds] = await redis.time();
  expect(await hosts.alive(Number(seconds) * 1000)).toEqual(['a']);
});

test.each([
  [ONE, ONE],
  ['10.231.16.0/20', ONE],
  ['10.224.0.0/11', ONE],
  ['10.231.255.255/32', ONE],
])('%s overlaps %s of a live host: the start is refused and changes nothing', async (mine, its) => {
  const { start, networks, hosts } = open();
  await start('a', [its]);
  const reply = await start('b', [TWO, mine]);
  expect(reply).toMatchObject({
    kind: 'overlap',
    overlaps: [{ network: mine, otherHost: 'a', otherNetwork: its }],
  });
  expect(await networks('a', 'b')).toEqual([[its], []]);
  expect(await hosts.all()).toEqual(['a']);
});

test.each(['10.230.0.0/16', '10.232.0.0/13', '0.0.0.0/8', '255.255.255.255/32'])(
  '%s lies beside, and is registered',
  async (mine) => {
    const { start } = open();
    await start('a', [ONE]);
    expect(await start('b', [mine])).toEqual(registered);
  },
);

test('several workers of one daemon register the same host', async () => {
  const { start, refresh } = open();
  expect(await start('a', [ONE])).toEqual(registered);
  expect(await start('a', [ONE])).toEqual(registered);
  expect(await refresh('a', [ONE])).toEqual(registered);
});

test('another machine, and another daemon on the same machine, do not get the id of a live host', async () => {
  const { claimOf, start, refresh, networks } = open();
  await start('a', [ONE]);
  const taken = { kind: 'taken', by: claimOf('a', []).fingerprint };
  expect(await start('a', [TWO], 'clone')).toMatchObject(taken);
  const otherNetwork = { fingerprint: { bootId: 'boot-a', networkId: 'net-other' } };
  expect(await refresh('a', [TWO], otherNetwork)).toMatchObject(taken);
  expect(await networks('a')).toEqual([[ONE]]);
});

test('a machine that was booted anew gets its id back once its heartbeat has expired', async () => {
  const { start, silence, networks } = open();
  await start('a', [ONE]);
  await silence('a', 13_000);
  expect(await start('a', [ONE], 'next boot')).toMatchObject({ kind: 'taken' });
  await silence('a', 16_000);
  expect(await start('a', [TWO], 'next boot')).toEqual(registered);
  expect(await networks('a')).toEqual([[TWO]]);
  // The former fingerprint is now the one that is refused.
  expect(await start('a', [ONE])).toMatchObject({ kind: 'taken' });
});

test('a worker that made the network anew registers its new id, and the others follow', async () => {
  const { refresh, start } = open();
  await start('a', [ONE]);
  const fingerprint = { bootId: 'boot-a', networkId: 'net-new' };
  expect(await refresh('a', [ONE], { fingerprint, previousNetworkId: 'net-a' })).toEqual(
    registered,
  );
  expect(await refresh('a', [ONE])).toMatchObject({ kind: 'taken' });
  expect(await refresh('a', [ONE], { fingerprint })).toEqual(registered);
});

test('a daemon whose worker has stopped in order is not waited for after its network was made anew', async () => {
  const { start, refresh, claimOf, keys } = open();
  const registry = redisHostRegistry(redis, keys);
  const anew = { fingerprint: { bootId: 'boot-a', networkId: 'net-new' } };
  await start('a', [ONE]);
  await registry.register(claimOf('a', [ONE]), 'release');
  // Not a clone; and a worker beside the one that stopped takes the release back.
  expect(await start('a', [ONE], 'clone')).toMatchObject({ kind: 'taken' });
  expect(await refresh('a', [ONE])).toEqual(registered);
  expect(await refresh('a', [ONE], anew)).toMatchObject({ kind: 'taken' });
  await registry.register(claimOf('a', [ONE]), 'release');
  expect(await start('b', [ONE])).toMatchObject({ kind: 'overlap' });
  expect(await refresh('a', [ONE], anew)).toEqual(registered);
  // Who has lost the id cannot release it.
  await registry.register(claimOf('a', [ONE]), 'release');
  expect(await start('a', [ONE])).toMatchObject({ kind: 'taken' });
});

test('the range of a dead host is given to another, and the dead host loses it and no more', async () => {
  const { start, refresh, silence, networks } = open();
  await start('a', [ONE, TWO]);
  await silence('a', 16_000);
  expect(await start('b', [ONE])).toEqual(registered);
  expect(await networks('a', 'b')).toEqual([[TWO], [ONE]]);
  // It comes back: what it has still is served, what it has lost is refused.
  expect(await refresh('a', [ONE, TWO])).toMatchObject({
    kind: 'overlap',
    overlaps: [{ network: ONE, otherHost: 'b', otherNetwork: ONE }],
  });
  expect(await networks('a', 'b')).toEqual([[TWO], [ONE]]);
  await silence('b', 16_000);
  expect(await refresh('a', [ONE, TWO])).toEqual(registered);
  expect(await networks('a', 'b')).toEqual([[ONE, TWO], []]);
});

test('a further network is added, and one that a worker does not know of yet stays', async () => {
  const { start, refresh, networks } = open();
  await start('a', [ONE]);
  expect(await refresh('a', [ONE, TWO])).toEqual(registered);
  expect(await refresh('a', [ONE])).toEqual(registered);
  expect(await networks('a')).toEqual([[ONE, TWO]]);
  await start('a', [TWO]);
  expect(await networks('a')).toEqual([[TWO]]);
});

test('a Redis that lost everything gets the registration with the next heartbeat', async () => {
  const { keys, start, refresh, networks } = open();
  await start('a', [ONE]);
  await redis.del(keys.hosts, keys.registration('a'));
  expect(await refresh('a', [ONE])).toEqual(registered);
  expect(await networks('a')).toEqual([[ONE]]);
});

test('a heartbeat without a change writes no registration, and looks at no other host', async () => {
  const { keys, start, refresh } = open();
  await start('a', [ONE, TWO]);
  for (let i = 0; i < 50; i++) await start(`host-${i}`, [`10.1.${i}.0/24`]);
  const monitor = await redis.duplicate().monitor();
  const calls: string[] = [];
  monitor.on('monitor', (_time, args: string[]) => calls.push(args.join(' ')));
  await refresh('a', [ONE, TWO]);
  await redis.ping();
  // Redis tells a monitor of a command after it has answered the command's client.
  const names = () => calls.map((call) => call.split(' ')[0]?.toLowerCase());
  await vi.waitUntil(() => names().includes('ping'), 10_000);
  monitor.disconnect();
  expect(names().slice(0, names().indexOf('ping'))).toEqual([
    ...['evalsha', 'time', 'get', 'zadd'],
    // Whether it is in the index by free capacity.
    'zscore',
  ]);
  expect(await redis.pttl(keys.registration('a'))).toBe(-1);
});

const admittedBy = (registration: object) => {
  const endpoints = registeredEndpoints(JSON.stringify(registration));
  return (address: string, port = 80) => endpoints.admits({ address, port });
};

test('addresses are looked up in the networks, and what is no address is in none', () => {
  const admits = admittedBy({ networks: [ONE, '10.9.8.0/24'] });
  for (const inside of ['10.231.0.1', '10.231.255.255', '10.9.8.7']) {
    expect(admits(inside)).toBe(true);
  }
  for (const outside of ['10.232.0.1', '10.9.9.1', '127.0.0.1', '::1', '', 'a.example', '10.231']) {
    expect(admits(outside)).toBe(false);
  }
  expect(admittedBy({ networks: [] })('10.231.0.1')).toBe(false);
});

test('of a host with published ports, only these ports of its address are admitted', async () => {
  const { keys, claimOf } = open();
  const registry = redisHostRegistry(redis, keys);
  const published = {
    reach: 'published',
    ports: { first: 20_000, last: 20_009 },
    address: '10.0.0.21',
    proxies: ['10.0.0.12/32', '10.0.0.11/32'],
  } as const;
  const claim = { ...claimOf('a', ['10.0.0.21/32']), ...published };
  expect(await registry.register(claim, 'start')).toEqual(registered);
  const text = (await redis.get(keys.registration('a'))) ?? '';
  expect(JSON.parse(text)).toMatchObject({ reach: 'published', ports: '20000-20009' });
  const endpoints = registeredEndpoints(text);
  const admits = (port: number, address = '10.0.0.21') => endpoints.admits({ address, port });
  expect([20_000, 20_009].map((port) => admits(port))).toEqual([true, true]);
  expect([0, 22, 19_999, 20_010].map((port) => admits(port))).toEqual([false, false, false, false]);
  expect(admits(20_000, '10.0.0.22')).toBe(false);

  // All workers of a host have the same reach, ports, address and proxies, in any order.
  const changes: [Partial<HostClaim>, object][] = [
    [
      { reach: 'bridge', ports: undefined },
      { setting: 'reach', value: 'published' },
    ],
    [{ ports: { first: 20_000, last: 20_010 } }, { setting: 'ports', value: '20000-20009' }],
    [{ address: '10.0.0.22' }, { setting: 'address', value: '10.0.0.21' }],
    [{ proxies: ['10.0.0.11/32'] }, { setting: 'proxies' }],
  ];
  for (const [change, refusal] of changes) {
    for (const mode of ['start', 'refresh'] as const) {
      const reply = await registry.register({ ...claim, ...change }, mode);
      expect(reply).toMatchObject({
        kind: 'reach',
        seenAt: expect.any(Number) as number,
        ...refusal,
      });
    }
  }
  const reordered = { ...claim, proxies: ['10.0.0.11/32', '10.0.0.12/32'] };
  expect(await registry.register(reordered, 'refresh')).toEqual(registered);
  expect(await redis.get(keys.registration('a'))).toBe(text);

  // The reach survives a release of the id, and the loss of a network to another host.
  await registry.register(claim, 'release');
  expect(await redis.get(keys.registration('a'))).toContain('"ports":"20000-20009"');
  // After the release of the last worker, the next one may have another reach.
  expect(await registry.register({ ...claimOf('a', [ONE]) }, 'start')).toEqual(registered);
  expect(await redis.get(keys.registration('a'))).not.toContain('reach');
});

test('two hosts may have one network of containers, but none where proxies of the other connect', async () => {
  const { claimOf, keys, silence } = open();
  const registry = redisHostRegistry(redis, keys);
  const published = (host: string, address: string, containers: string[]): HostClaim => ({
    ...claimOf(host, [`${address}/32`]),
    ...{ reach: 'published', containers },
  });
  const start = (claim: HostClaim) => registry.register(claim, 'start');
  const refresh = (claim: HostClaim) => registry.register(claim, 'refresh');
  expect(await start(published('a', '10.0.0.21', [ONE]))).toEqual(registered);
  expect(await start(published('b', '10.0.0.22', [ONE]))).toEqual(registered);
  // A host with `bridge` or `routed`, before and after.
  expect(await start(claimOf('c', [ONE]))).toMatchObject({
    kind: 'overlap',
    overlaps: [{ network: ONE, otherNetwork: ONE }],
  });
  expect(await start(claimOf('c', [TWO]))).toEqual(registered);
  const refused = {
    kind: 'overlap',
    overlaps: [{ network: TWO, otherHost: 'c', otherNetwork: TWO }],
  };
  expect(await start(published('d', '10.0.0.23', [TWO]))).toMatchObject(refused);
  // A further network.
  const both = published('a', '10.0.0.21', [ONE, TWO]);
  expect(await refresh(both)).toMatchObject(refused);
  // An address in a network of containers: its machine would not send a connection to another one.
  expect(await start(published('d', '10.231.0.9', []))).toMatchObject({
    overlaps: [{ network: '10.231.0.9/32', otherNetwork: ONE }],
  });
  expect(await registry.networksOf(['a'])).toEqual([['10.0.0.21/32']]);
  // A release keeps the networks, and dead hosts lose them.
  await registry.register(both, 'release');
  expect(await start(claimOf('d', [ONE]))).toMatchObject({ kind: 'overlap' });
  await silence('a', 16_000);
  await silence('b', 16_000);
  expect(await start(claimOf('d', [ONE]))).toEqual(registered);
  expect(await registry.networksOf(['a', 'd'])).toEqual([['10.0.0.21/32'], [ONE]]);
  expect(await refresh(published('a', '10.0.0.21', [ONE]))).toMatchObject({
    kind: 'overlap',
    overlaps: [{ network: ONE, otherHost: 'd' }],
  });
});
