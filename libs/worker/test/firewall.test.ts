import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Template } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import { MACHINE, waitFor, WORLD } from '@ephemera/test-support';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { namesProgram } from '../src/docker/gateway-names.ts';
import { createFirewall } from '../src/firewall.ts';
import type { Firewall } from '../src/firewall.ts';
import { assignedInstance, openDocker } from './docker-fixture.ts';
import type { DockerFixture } from './docker-fixture.ts';
import { execInside } from './exec-inside.ts';
import { startOwnEngine } from './own-engine.ts';
import type { OwnEngine } from './own-engine.ts';
import { reachedFrom } from './probe-inside.ts';
import type { Target } from './probe-inside.ts';
import { answerIn, serveOnNetwork } from './serve-on-network.ts';

// A machine of the test with its own Docker daemon, and a simulated outside network with all
// addresses that an instance must not reach. No packet leaves the real machine.

const run = promisify(execFile);
const INTERNET = '203.0.113.9';
const BLOCKED = {
  metadata: '169.254.169.254',
  "Azure's metadata": '168.63.129.16',
  'carrier-grade': '100.64.0.9',
  'private 10/8': '10.199.0.9',
  'private 172.16/12': '172.20.0.9',
  'private 192.168/16': '192.168.77.9',
  'a range of the operator': '203.0.113.130',
};
const PORT = 8000;

let engine: OwnEngine;
let fixture: DockerFixture;
let stranger: DockerFixture;
let firewall: Firewall;
let inside: { containerId: string; address: string };
const asked: string[] = [];
const targets: Target[] = [];
const warned: unknown[] = [];
const logger = {
  warn: (fields: unknown) => warned.push(fields),
  info: () => undefined,
} as unknown as Logger;
const wide: Partial<Template> = { limits: { memory: 128 * 1024 ** 2, cpus: 2, pids: 512 } };

beforeAll(async () => {
  engine = await startOwnEngine({
    images: ['ephemera/demo'],
    world: [INTERNET, ...Object.values(BLOCKED)],
    // As on a machine with a local resolver.
    resolvConf: 'nameserver 127.0.0.53\nsearch corp.example\n',
    hosts: ['tcp://0.0.0.0:2375'],
  });
  [fixture, stranger] = [await openDocker(engine), await openDocker(engine)];
  const { network } = fixture;
  firewall = await createFirewall({
    network,
    mode: 'required',
    egress: { resolvers: [INTERNET], blocked: ['203.0.113.128/25'] },
    runOnHost: engine.hostSays,
    names: { ensure: ({ gateway }) => answerNames(gateway) },
    logger,
  });
  for (const place of ['host', 'world']) {
    await answerIn(engine, place, PORT, (name) => asked.push(name));
  }
  engine.spawnIn('host', 'redis-server', '--protected-mode', 'no', '--save', '');
  await engine.hostSays('ip address add 127.0.0.53/8 dev lo || true');

  inside = await fixture.start(assignedInstance(wide));
  const gateway = network.subnet.replace('0.0/16', '0.1');
  const own = { 'the gateway': gateway, docker0: '172.17.0.1', 'the machine outside': MACHINE };
  for (const [name, address] of Object.entries({ ...own, ...BLOCKED, 'the internet': INTERNET })) {
    targets.push({ name, by: 'http', address, port: PORT });
  }
  targets.push({ name: 'Redis', by: 'redis', address: gateway, port: 6379 });
  targets.push({ name: 'the Docker API', by: 'http', address: gateway, port: 2375 });

  const proxyAt = network.subnet.replace('0.0/16', '0.9');
  for (const [name, address] of Object.entries(await others(proxyAt))) {
    targets.push({ name, by: 'http', address, port: 8080 });
    // As Docker 28 does for containers of other networks.
    if (inSubnet(address)) continue;
    const { bridge } = network;
    await engine.hostSays(`iptables -t raw -A PREROUTING -i ${bridge} -d ${address} -j DROP`);
  }
  const broadcast = network.subnet.replace('0.0/16', '255.255');
  targets.push({ name: 'broadcast receivers', by: 'udp', address: broadcast, port: PORT });
  for (const { name, by, address } of [...targets]) {
    if (by !== 'http' || name === 'the Docker API') continue;
    targets.push({ name: `${name}, by UDP`, by: 'udp', address, port: PORT });
    targets.push({ name: `${name}, by ping`, by: 'ping', address, port: 0 });
  }
});

afterAll(() => engine.stop());

let namesPort: Promise<number> | undefined;

/** Starts the responder of the worker on the host of the test, as a helper container runs it. */
function answerNames(address: string): Promise<number> {
  return (namesPort ??= namesProgram(address).then(async (program) => {
    let output = '';
    const child = engine.spawnIn('host', process.execPath, ...program);
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (output += text));
    await waitFor('the responder', () => output.includes('port '));
    return Number(output.split(' ')[1]);
  }));
}

/** Addresses of containers that an instance must not reach. They also answer UDP. */
async function others(proxyAt?: string): Promise<Record<string, string>> {
  const started = {
    'a peer': await fixture.start(assignedInstance(wide)),
    'another deployment': await stranger.start(assignedInstance(wide)),
    'a container of Docker’s own bridge': await serveOnNetwork(engine, 'bridge'),
    'a proxy': await serveOnNetwork(engine, fixture.network.name, proxyAt),
  };
  for (const { containerId } of Object.values(started)) await answerIn(engine, containerId, PORT);
  return Object.fromEntries(Object.entries(started).map(([name, { address }]) => [name, address]));
}

const inSubnet = (address: string) =>
  address.startsWith(fixture.network.subnet.replace('0.0/16', ''));

const reached = (from = inside.containerId) => reachedFrom(engine.docker, from, targets);
const rules = async (tables = 'iptables') => (await engine.hostSays(`${tables} -S`)).split('\n');

/** Starts an instance with egress. */
function open(): Promise<{ containerId: string; address: string }> {
  return fixture.start(assignedInstance({ ...wide, egress: true }));
}

test('an instance without egress reaches nothing', async () => {
  expect(targets.length).toBeGreaterThan(40);
  expect(await reached()).toEqual([]);
  const itself = { name: 'itself', by: 'http', address: '127.0.0.1', port: 8080 } as const;
  expect(await reachedFrom(engine.docker, inside.containerId, [itself])).toEqual(['itself']);
});

test('an instance with egress reaches the internet, and no blocked range', async () => {
  const { containerId } = await open();
  const ways = ['the internet', 'the internet, by UDP', 'the internet, by ping'];
  expect(await reached(containerId)).toEqual(ways);
});

test('a container in the infrastructure range reaches instances', async () => {
  const { infrastructure } = fixture.network;
  expect(infrastructure).toMatch(/\.0\.0\/24$/);
  const line = `printf 'GET /id HTTP/1.0\\r\\n\\r\\n' | nc -w 2 ${inside.address} 8080 | grep -q 200`;
  const container = await engine.docker.createContainer({
    Image: 'ephemera/demo',
    Cmd: ['/bin/sh', '-c', line],
    HostConfig: { NetworkMode: fixture.network.name },
  });
  await container.start();
  expect(((await container.wait()) as { StatusCode: number }).StatusCode).toBe(0);
  expect(await engine.hostSays(`busybox wget -qO- http://${inside.address}:8080/id`)).not.toBe('');
});

const fromTheWorld = (address: string) =>
  engine.inWorld(
    `busybox nc -w 2 ${address} 8080 </dev/null && echo tcp
    busybox ping -c 1 -W 2 ${address} >/dev/null && echo icmp || true`,
  );

// Docker does not change the FORWARD policy of a machine that already forwarded packets.
test('a machine that routes through this host does not reach an instance', async () => {
  expect(await fromTheWorld(inside.address)).toBe('');
});

describe('what an instance without egress may not reach fails at once', () => {
  /** How a TCP connection from the instance ends, and after how many milliseconds. */
  const connectTo = async (address: string, port: number) => {
    const program = `const socket = require('net').connect(${port}, '${address}');
      const start = Date.now();
      const end = (text) => { console.log(text + ' ' + (Date.now() - start)); process.exit(); };
      socket.on('connect', () => end('connected')).on('error', ({ code }) => end(code));`;
    const { State } = await engine.docker.getContainer(inside.containerId).inspect();
    const network = `--net=/proc/${State.Pid}/ns/net`;
    const { stdout } = await run('nsenter', [network, process.execPath, '-e', program]);
    const [outcome = '', ms] = stdout.trim().split(' ');
    return { outcome, ms: Number(ms) };
  };

  test('TCP connections are reset', async () => {
    const addresses = targets.filter(({ by }) => by === 'http' || by === 'redis');
    expect(addresses.length).toBeGreaterThan(15);
    for (const { address, port } of addresses) {
      const { outcome, ms } = await connectTo(address, port);
      expect([address, outcome]).toEqual([address, 'ECONNREFUSED']);
      expect(ms).toBeLessThan(1_000);
    }
  });

  test('names do not exist, for the resolvers of glibc and of the image', async () => {
    const { State } = await engine.docker.getContainer(inside.containerId).inspect();
    const program = `const start = Date.now();
      require('dns').lookup('example.com', (error) => console.log(error.code + ' ' + (Date.now() - start)));`;
    // With the DNS server of the container in place of the machine's.
    const line = `set -e; mount -t tmpfs none /mnt
      echo 'nameserver 127.0.0.11' >/mnt/resolv.conf; mount --bind /mnt/resolv.conf /etc/resolv.conf
      exec nsenter --net=/proc/${State.Pid}/ns/net ${process.execPath} -e "${program}"`;
    const { stdout } = await run('unshare', ['--mount', '/bin/sh', '-c', line]);
    const [code, ms] = stdout.trim().split(' ');
    expect(code).toBe('ENOTFOUND');
    expect(Number(ms)).toBeLessThan(1_000);
    const start = performance.now();
    const { text } = await execInside(
      engine.docker,
      inside.containerId,
      'nslookup example.com; getent hosts example.com || wget http://example.com/; hostname -i',
    );
    expect(performance.now() - start).toBeLessThan(2_000);
    expect(text).toContain('NXDOMAIN');
    expect(text).toContain(inside.address);
  });

  test('port 53 of the gateway is the only one that answers, and it is not the host’s', async () => {
    const { gateway } = fixture.network;
    // The responder’s own port answers no instance.
    const port = (await namesPort) ?? 0;
    expect((await connectTo(gateway, port)).outcome).toBe('ECONNREFUSED');
    expect((await connectTo(gateway, 53)).outcome).toBe('connected');
    const own = await execInside(
      engine.docker,
      inside.containerId,
      `nslookup secret.tunnel.example ${gateway}; nslookup localhost ${gateway}`,
    );
    expect(own.text).toContain('NXDOMAIN');
    expect(own.text).toContain('127.0.0.1');
    expect(asked.filter((name) => name.includes('tunnel'))).toEqual([]);
  });
});

describe('DNS', () => {
  const lookUp = async (containerId: string, name: string) =>
    (await execInside(engine.docker, containerId, `nslookup ${name} 127.0.0.11`)).text;

  // Docker's DNS server queries a resolver on loopback from the host, where no rule applies.
  test('resolves no name for an instance without egress', async () => {
    await lookUp(inside.containerId, 'secret.tunnel.example');
    expect(asked.filter((name) => name.includes('tunnel'))).toEqual([]);
    const { text } = await execInside(engine.docker, inside.containerId, 'cat /etc/resolv.conf');
    expect(text).not.toContain('corp.example');
  });

  test('uses the configured resolvers for an instance with egress', async () => {
    const { containerId } = await open();
    const { text } = await execInside(engine.docker, containerId, 'cat /etc/resolv.conf');
    expect(text).toContain('nameserver 127.0.0.11');
    const { HostConfig } = await engine.docker.getContainer(containerId).inspect();
    expect(HostConfig.Dns).toEqual(fixture.place.resolvers);
  });

  test('does not reveal ids by reverse lookups', async () => {
    const neighbour = assignedInstance();
    const { address } = await fixture.start(neighbour);
    const text = await lookUp(inside.containerId, address);
    expect(text).toContain(`${fixture.namespace}-`);
    expect(text).not.toContain(neighbour.id);
  });

  test('control: another container reaches the machine’s resolver', async () => {
    const container = await engine.docker.createContainer({
      Image: 'ephemera/demo',
      Cmd: ['nslookup', 'secret.tunnel.example'],
      HostConfig: { NetworkMode: fixture.network.name },
    });
    await container.start();
    await container.wait();
    expect(asked.filter((name) => name.includes('tunnel'))).not.toEqual([]);
  });
});

describe('IPv6', () => {
  /** Whether a container with IPv6 reaches the link-local address of the bridge. */
  const overIpv6 = async () => {
    const { bridge, name } = fixture.network;
    const on = `sysctl -qw net.ipv6.conf.${bridge}.disable_ipv6=0; ip -6 -o address show dev ${bridge}`;
    const [address = ''] = /fe80::[0-9a-f:]+/.exec(await engine.hostSays(on)) ?? [];
    expect(address).not.toBe('');
    const line = `until grep -q ^fe80 /proc/net/if_inet6; do sleep 0.1; done
      sleep 2; printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 ${address}%eth0 ${PORT} | grep -q HTTP`;
    const container = await engine.docker.createContainer({
      Image: 'ephemera/demo',
      Cmd: ['/bin/sh', '-c', line],
      HostConfig: { NetworkMode: name },
    });
    await container.start();
    // Docker 28 ignores the option for it in a network without IPv6.
    const { State } = await container.inspect();
    const setting = ['sysctl', '-qw', 'net.ipv6.conf.eth0.disable_ipv6=0'];
    await run('nsenter', [`--net=/proc/${State.Pid}/ns/net`, ...setting]);
    return ((await container.wait()) as { StatusCode: number }).StatusCode === 0;
  };

  test('is disabled in an instance and blocked on the bridge', async () => {
    // Docker 28 leaves `::1` on the loopback interface of a container.
    const line = 'grep -v " lo$" /proc/net/if_inet6; cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6';
    const { text } = await execInside(engine.docker, inside.containerId, line);
    expect(text.trim()).toBe('1');
    expect(await overIpv6()).toBe(false);
  });

  test('control: without the rules the host answers', async () => {
    await firewall.remove();
    expect(await overIpv6()).toBe(true);
    await firewall.assert();
    expect(await overIpv6()).toBe(false);
  });
});

describe('the rules', () => {
  test('are unchanged by another assertion, also concurrently', async () => {
    const before = await rules();
    await firewall.assert();
    expect(await rules()).toEqual(before);
    await Promise.all([firewall.assert(), firewall.assert()]);
    expect(await rules()).toEqual(before);
  });

  // A firewall service that reloads rebuilds its chains without foreign rules.
  test('are restored by the next assertion if the jumps are missing', async () => {
    const before = await rules();
    await engine.hostSays('iptables -F INPUT; iptables -F DOCKER-USER; ip6tables -F');
    await firewall.assert();
    expect((await rules()).sort()).toEqual(
      before.filter((rule) => !rule.includes('USER -j RETURN')).sort(),
    );
    expect(await reached()).toEqual([]);
  });

  // Other programs insert their rules at the top of a chain.
  test('are moved back to the top by the next assertion if other rules accept everything', async () => {
    const toRedis = 'INPUT -p tcp -m tcp --dport 6379 -j ACCEPT';
    const foreign = [toRedis, 'FORWARD -j ACCEPT', 'DOCKER-USER -j ACCEPT'];
    const item = (how: string) => foreign.map((rule) => `iptables ${how} ${rule}`).join('\n');
    await engine.hostSays(item('-I'));
    expect(await reached()).toEqual(expect.arrayContaining(['Redis', 'a peer', 'metadata']));
    warned.length = 0;
    await firewall.assert();
    expect(await reached()).toEqual([]);
    const chains = ['DOCKER-USER', 'FORWARD', 'INPUT'].map((chain) => `iptables ${chain}`);
    expect(warned).toEqual([{ chains }]);
    const after = await rules();
    expect(after).toEqual(expect.arrayContaining(foreign.map((rule) => `-A ${rule}`)));
    await firewall.assert();
    expect(await rules()).toEqual(after);
    expect(warned).toHaveLength(1);
    await engine.hostSays(item('-D'));
  });

  test('survive a restart of the daemon, before its own rules', async () => {
    await engine.restart();
    await firewall.assert();
    const forward = (await rules()).filter((rule) => rule.startsWith('-A FORWARD'));
    expect(forward[0]).toBe('-A FORWARD -j DOCKER-USER');
    inside = await fixture.start(assignedInstance(wide));
    const gateway = fixture.network.subnet.replace('0.0/16', '0.1');
    expect(await reached()).toEqual([]);
    expect(targets.some(({ address }) => address === gateway)).toBe(true);
  });
});

// Control: without the rules, every target is reachable. So the rules block them above.
describe('without any rules, including those of Docker', () => {
  beforeAll(async () => {
    await firewall.remove();
    // The restart has stopped the other containers.
    const addresses = await others();
    // Docker 28 adds rules to the table `raw` for each container.
    await engine.hostSays('iptables -I FORWARD 1 -j ACCEPT; iptables -t raw -F');
    for (const [i, target] of targets.entries()) {
      targets[i] = {
        ...target,
        address: addresses[target.name.split(',')[0] ?? ''] ?? target.address,
      };
    }
  });

  test('every probe succeeds', async () => {
    expect(await reached()).toEqual(targets.map(({ name }) => name));
    expect(await fromTheWorld(inside.address)).toBe('tcp\nicmp\n');
    expect(WORLD).toBe('198.51.100.2');
  });

  test('no rule of Ephemera is left, and another removal succeeds', async () => {
    const left = [...(await rules()), ...(await rules('ip6tables'))].join('\n');
    expect(left).not.toContain('EPHEMERA');
    await firewall.remove();
  });
});
