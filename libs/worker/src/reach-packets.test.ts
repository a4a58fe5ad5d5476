import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { createLogger } from '@ephemera/process';
import { endProcess, waitFor } from '@ephemera/test-support';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { describeNetwork } from './docker/instances-network.ts';
import { createFirewall } from './firewall.ts';
import type { HostReach } from './host-reach.ts';

// What the rules do with packets: a machine with two networks for instances, an instance on each, and
// another machine; each a network namespace. Docker's translation of a published port is a rule.

const run = promisify(execFile);
const networks = [
  describeNetwork('ephemera', 'eph0', '10.231.0.0/16'),
  describeNetwork('ephemera.2', 'eph1', '10.232.0.0/16'),
];
const HOST = '10.0.0.21';
const ONE = { address: '10.231.1.2', port: 8080 };
const TWO = { address: '10.232.1.2', port: 8080 };
/** The translated port of the first instance, and of a container of the infrastructure. */
const PUBLISHED = { address: HOST, port: 20_000 };
const INFRASTRUCTURE = { address: HOST, port: 20_001 };

const id = `eph-${randomBytes(4).toString('hex')}`;
const [machine, outside, one, two, proxy] = ['m', 'o', '1', '2', 'p'].map((it) => `${id}-${it}`);
const namespaces = [machine, outside, one, two, proxy].filter((it) => it !== undefined);
let servers: ChildProcess[] = [];

const inside = async (namespace: string | undefined, script: string) =>
  (await run('ip', ['netns', 'exec', namespace ?? '', 'sh', '-ec', script])).stdout;

/** A namespace with one address, on a bridge or an interface of the machine. */
async function attach(namespace: string | undefined, link: string, address: string, via: string) {
  await inside(
    machine,
    `ip link add ${link} type veth peer name eth0 netns ${namespace}; ip link set ${link} up`,
  );
  await inside(
    namespace,
    `ip link set lo up; ip address add ${address} dev eth0; ip link set eth0 up; ip route add default via ${via}`,
  );
}

beforeEach(async () => {
  servers = [];
  for (const namespace of namespaces) await run('ip', ['netns', 'add', namespace]);
  await inside(
    machine,
    `ip link set lo up; echo 1 >/proc/sys/net/ipv4/ip_forward
    ip link add eph0 type bridge; ip link add eph1 type bridge
    echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
    ip address add 10.231.0.1/16 dev eph0; ip address add 10.232.0.1/16 dev eph1
    ip link set eph0 up; ip link set eph1 up
    iptables -N DOCKER-USER; iptables -A FORWARD -j DOCKER-USER
    iptables -t nat -A PREROUTING -d ${HOST} -p tcp --dport 20000 -j DNAT --to ${ONE.address}:8080
    iptables -t nat -A PREROUTING -d ${HOST} -p tcp --dport 20001 -j DNAT --to 10.231.0.2:8080`,
  );
  await attach(outside, 'out', '10.0.0.11/24', HOST);
  await inside(machine, `ip address add ${HOST}/24 dev out`);
  await attach(one, 'i1', `${ONE.address}/16`, '10.231.0.1');
  await attach(proxy, 'i0', '10.231.0.2/16', '10.231.0.1');
  await attach(two, 'i2', `${TWO.address}/16`, '10.232.0.1');
  await inside(machine, 'ip link set i0 master eph0; ip link set i1 master eph0');
  await inside(machine, 'ip link set i2 master eph1');
  for (const [namespace, { address, port }] of [
    [one, ONE],
    [two, TWO],
    [proxy, { address: '10.231.0.2', port: 8080 }],
  ] as const) {
    const serve = ['busybox', 'nc', '-ll', '-p', `${port}`, '-e', 'echo', 'answer'];
    servers.push(spawn('ip', ['netns', 'exec', namespace ?? '', ...serve]));
    await waitFor('the server', () => connects(namespace, { address, port }));
  }
});
afterEach(async () => {
  for (const server of servers) await endProcess(server);
  for (const namespace of namespaces) {
    await run('ip', ['netns', 'del', namespace]).catch(() => undefined);
  }
});

/** Whether a connection opens and is answered. A dropped packet gets no answer, so there is a limit. */
async function connects(
  namespace: string | undefined,
  { address, port }: { address: string; port: number },
): Promise<boolean> {
  const probe = `busybox timeout 6 busybox nc ${address} ${port} </dev/null || true`;
  return (await inside(namespace, probe)).includes('answer');
}

async function setRules(reach: HostReach): Promise<void> {
  const [first, ...further] = networks;
  if (!first) return;
  const firewall = await createFirewall({
    network: first,
    mode: 'required',
    egress: { resolvers: [], blocked: [] },
    reach,
    runOnHost: (script) => inside(machine, script),
    logger: createLogger('test', 'silent'),
  });
  for (const network of further) await firewall.secure(network);
}

const wide = ['10.0.0.0/8'];
const ports = { first: 20_000, last: 32_767 };
const reaches: Record<HostReach['kind'], HostReach> = {
  bridge: { kind: 'bridge' },
  routed: { kind: 'routed', proxies: wide },
  published: { kind: 'published', address: HOST, ports, proxies: wide },
};

test('without rules, all of that connects', async () => {
  for (const target of [ONE, TWO, PUBLISHED, INFRASTRUCTURE]) {
    expect(await connects(outside, target)).toBe(true);
  }
  for (const target of [ONE, PUBLISHED]) expect(await connects(two, target)).toBe(true);
  expect(await connects(one, TWO)).toBe(true);
});

test.each([
  ['bridge', [INFRASTRUCTURE]],
  ['routed', [ONE, TWO, INFRASTRUCTURE]],
  ['published', [PUBLISHED, INFRASTRUCTURE]],
] as const)('%s: another machine connects to this, and no instance to one', async (kind, open) => {
  await setRules(reaches[kind]);
  const seen = [];
  for (const target of [ONE, TWO, PUBLISHED, INFRASTRUCTURE]) {
    if (await connects(outside, target)) seen.push(target);
  }
  expect(seen).toEqual(open);
  for (const target of [ONE, PUBLISHED]) expect(await connects(two, target)).toBe(false);
  expect(await connects(one, TWO)).toBe(false);
});

test('the ports that a host has published admit nobody after a change of its reach', async () => {
  await setRules(reaches.published);
  expect(await connects(outside, PUBLISHED)).toBe(true);
  for (const kind of ['bridge', 'routed'] as const) {
    await setRules(reaches[kind]);
    expect(await connects(outside, PUBLISHED)).toBe(false);
  }
});
