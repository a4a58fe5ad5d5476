import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createLogger } from '@ephemera/process';
import { describeNetwork } from './docker/instances-network.ts';
import { createFirewall } from './firewall.ts';
import { firewallRemovalScript, firewallScript } from './firewall-rules.ts';

// Runs in a network namespace with both iptables backends, DOCKER-USER chain and bridge. The daemon
// uses one of the two backends.

const run = promisify(execFile);
const network = describeNetwork('ephemera', 'eph0', '10.231.0.0/16');
const script = firewallScript(network, { resolvers: ['10.0.0.53'], blocked: ['203.0.113.0/24'] });
const NF_CALL = '/proc/sys/net/bridge/bridge-nf-call-iptables';
let machine: string;

beforeEach(async () => {
  machine = `eph-${randomBytes(4).toString('hex')}`;
  await run('ip', ['netns', 'add', machine]);
  await there('sh', '-c', `ip link add eph0 type bridge && echo 1 > ${NF_CALL}`);
});
afterEach(async () => {
  await run('ip', ['netns', 'del', machine]);
});

async function there(...command: string[]): Promise<string> {
  return (await run('ip', ['netns', 'exec', machine, ...command])).stdout;
}

/** The chains as Docker creates them. */
async function daemonUses(tables: string): Promise<void> {
  await there(tables, '-N', 'DOCKER-USER');
  await there(tables, '-A', 'FORWARD', '-j', 'DOCKER-USER');
}

const all = async (tables: string) => [
  ...(await there(tables, '-S')).split('\n'),
  ...(await there(tables, '-t', 'nat', '-S')).split('\n'),
  ...(await there(tables, '-t', 'raw', '-S')).split('\n'),
  ...(await there(tables.replace('ip', 'ip6'), '-S')).split('\n'),
];

test.each([
  ['iptables-nft', 'iptables-legacy'],
  ['iptables-legacy', 'iptables-nft'],
])('if the daemon uses %s, the rules are set there and not in %s', async (used, other) => {
  await daemonUses(used);
  const [before, beside] = [await all(used), await all(other)];
  await there('sh', '-c', script);
  const set = await all(used);
  await there('sh', '-c', script);
  expect(await all(used)).toEqual(set);
  expect(set.filter((rule) => rule === '-A DOCKER-USER -j EPHEMERA-EPH0-F')).toHaveLength(1);
  expect(set.filter((rule) => rule === '-A INPUT -j EPHEMERA-EPH0-I')).toHaveLength(2);
  expect(set).toContain('-A PREROUTING -j EPHEMERA-EPH0-R');
  expect(await all(other)).toEqual(beside);
  // Foreign rules are unchanged while the rules are set and after their removal.
  expect(set).toEqual(expect.arrayContaining(before));
  await there('sh', '-c', firewallRemovalScript(network));
  expect(await all(used)).toEqual(before);
});

test.each(['iptables-nft', 'iptables-legacy'])(
  'with %s, the jumps are moved back to the top if other rules precede them',
  async (used) => {
    await daemonUses(used);
    const [four, six] = [used, used.replace('ip', 'ip6')];
    await there('sh', '-c', script);
    const places = [
      ...['INPUT', 'FORWARD', 'DOCKER-USER'].map((chain) => [four, chain] as const),
      ...['INPUT', 'FORWARD'].map((chain) => [six, chain] as const),
    ];
    for (const [tables, chain] of places) await there(tables, '-I', chain, '-j', 'ACCEPT');
    const foreign = await all(used);
    // The default backend of the machine has no suffix.
    const unnamed = (text: string) => text.trim().replaceAll(/-(nft|legacy)/g, '');
    const said = unnamed(await there('sh', '-c', script)).split('\n');
    expect(said.sort()).toEqual(
      places.map((place) => unnamed(`put first: ${place.join(' ')}`)).sort(),
    );
    for (const [tables, chain] of places) {
      const jump = `-A ${chain} -j EPHEMERA-EPH0-${chain === 'INPUT' ? 'I' : 'F'}`;
      const held = (await there(tables, '-S', chain)).split('\n');
      expect(held.find((rule) => rule.startsWith('-A'))).toBe(jump);
      expect(held.filter((rule) => rule === jump)).toHaveLength(1);
    }
    expect(await all(used)).toEqual(expect.arrayContaining(foreign));
    expect(await there('sh', '-c', script)).toBe('');
    await there('sh', '-c', firewallRemovalScript(network));
    const ours = (rule: string) => rule.includes('EPHEMERA');
    expect((await all(used)).sort()).toEqual(foreign.filter((rule) => !ours(rule)).sort());
  },
);

test('jumps of two bridges do not displace each other', async () => {
  await daemonUses('iptables');
  await there('ip', 'link', 'add', 'eph1', 'type', 'bridge');
  const other = describeNetwork('ephemera.2', 'eph1', '10.232.0.0/16');
  const both = `${script}\n${firewallScript(other, { resolvers: [], blocked: [] })}`;
  await there('iptables', '-I', 'FORWARD', '-j', 'ACCEPT');
  expect(await there('sh', '-c', both)).toContain('put first: iptables FORWARD');
  expect(await there('sh', '-c', both)).toBe('');
});

const refused = (reason: RegExp) => expect(there('sh', '-c', script)).rejects.toThrow(reason);

test('fails if the bridge is in another network namespace than the worker', async () => {
  await daemonUses('iptables');
  await there('ip', 'link', 'del', 'eph0');
  await refused(/eph0 is not on this machine/);
});

test('fails if the daemon sets no iptables rules', async () => {
  await refused(/no DOCKER-USER/);
  expect((await all('iptables')).join()).not.toContain('EPHEMERA');
});

test('fails if the published address is not one of this machine, after the rules are set', async () => {
  await daemonUses('iptables');
  const ports = { first: 20_000, last: 20_099 };
  const at = (address: string) => {
    const reach = { kind: 'published', address, ports, proxies: ['10.0.0.11/32'] } as const;
    const egress = { resolvers: [], blocked: [] };
    const runOnHost = (text: string) => there('sh', '-c', text);
    const logger = createLogger('test', 'silent');
    return createFirewall({ network, mode: 'auto', egress, reach, runOnHost, logger });
  };
  await there('ip', 'address', 'add', '10.0.0.21/24', 'dev', 'eph0');
  await there('ip', 'link', 'set', 'eph0', 'up');
  // Neither a part of the address, nor another address or the broadcast address of its network.
  for (const other of ['10.0.0.2', '10.0.0.22', '0.0.0.0', '10.0.0.255']) {
    await expect(at(other)).rejects.toThrow(
      `EPHEMERA_ADVERTISE is ${other}, which is not an address of this machine`,
    );
  }
  expect((await all('iptables')).join()).toContain('-d 10.0.0.255/32 ! -i eph0');
  await at('10.0.0.21');
  expect((await all('iptables')).join()).toContain('-d 10.0.0.21/32 ! -i eph0');
});

test('fails if bridged packets bypass the rules', async () => {
  await daemonUses('iptables');
  await there('sh', '-c', `echo 0 > ${NF_CALL}`);
  await refused(/bridge-nf-call-iptables is not 1/);
});

test.each([
  ['a user without root', ['--reuid', '65534', '--clear-groups'], /user .* is not root/],
  [
    'root without the capability',
    ['--bounding-set', '-net_admin'],
    /needs the capability NET_ADMIN/,
  ],
])('%s is told the real cause', async (_, rights, cause) => {
  await daemonUses('iptables-nft');
  const refused = there('setpriv', ...rights, '--', 'sh', '-c', script);
  await expect(refused).rejects.toThrow(cause);
});
