import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { ContainerStartError } from '@ephemera/lifecycle';
import { createLogger } from '@ephemera/process';
import { waitFor } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';
import { assignedInstance, openDocker } from '../../test/docker-fixture.ts';
import { execInside } from '../../test/exec-inside.ts';
import { firewallRemovalScript, firewallScript } from '../firewall-rules.ts';
import { createFirewall, runHere } from '../firewall.ts';
import { findNetworks, removeNetwork } from './instances-network.ts';
import type { InstancesNetwork } from './instances-network.ts';
import { instancesNetworks } from './instances-networks.ts';
import type { NetworksOptions } from './instances-networks.ts';
import { LABEL } from './labels.ts';

const egress = { resolvers: [], blocked: [] };

const run = promisify(execFile);
const logger = createLogger('test', 'silent');

async function open(options: Partial<NetworksOptions> = {}) {
  const fixture = await openDocker(options);
  onTestFinished(fixture.close);
  return fixture;
}

/** The index of each instance's network. The first network has index 0. */
function places(networks: readonly InstancesNetwork[], addresses: readonly string[]): number[] {
  const prefixes = networks.map(({ subnet }) => subnet.replace('0.0/16', ''));
  return addresses.map((address) => prefixes.findIndex((prefix) => address.startsWith(prefix)));
}

test('instances beyond the capacity of a network use the next one, which is prepared first', async () => {
  const prepared: string[] = [];
  const { start, networks, containers, docker, namespace } = await open({
    portsPerNetwork: 2,
    prepare: ({ name }) => Promise.resolve(void prepared.push(name)),
  });
  const instances = Array.from({ length: 5 }, () => assignedInstance());
  const started = await Promise.all(instances.map((instance) => start(instance)));
  const where = places(
    networks.all,
    started.map(({ address }) => address),
  ).sort();
  expect(where).toEqual([0, 0, 1, 1, 2]);
  expect(prepared).toEqual([namespace, `${namespace}.2`, `${namespace}.3`]);
  for (const { address } of started) {
    const answers = async () => (await fetch(`http://${address}:8080/id`)).ok;
    await waitFor('an answer', answers);
  }
  // Another worker of the host finds all networks and their used ports.
  const others = await instancesNetworks({
    ...{ docker, namespace, subnets: undefined, portsPerNetwork: 2, logger },
    prepare: () => Promise.resolve(),
    claim: () => Promise.resolve(undefined),
    keep: () => undefined,
  });
  expect(others.all).toEqual(networks.all);
  expect((await others.reserve()).network.name).toBe(`${namespace}.3`);
  // A free port on the first network is used before the third network.
  const first =
    instances[
      started.findIndex((_, i) => places(networks.all, [started[i]?.address ?? ''])[0] === 0)
    ];
  await containers.removeInstance(first?.id ?? '', 0);
  await networks.refresh();
  expect((await networks.reserve()).network.name).toBe(namespace);
});

test('if no further network can be created, the start fails with the reason, and the capacity is limited', async () => {
  const taken = (await open()).network.subnet;
  const { start, networks, network } = await open({ portsPerNetwork: 1, subnets: [taken] });
  await start(assignedInstance());
  expect(networks.max).toBeUndefined();
  const refused = start(assignedInstance());
  await expect(refused).rejects.toThrow(ContainerStartError);
  await expect(refused).rejects.toThrow(/networks of this host are full/);
  await expect(refused).rejects.toThrow(`${taken}: `);
  expect(networks.max).toBe(1);
  expect(network.name).toBe(networks.all[0]?.name);
});

test('a proxy in a container is connected to every network and reaches its instances', async () => {
  const { docker, network, networks, start, namespace } = await open({ portsPerNetwork: 1 });
  const [first, second] = [assignedInstance(), assignedInstance()];
  await start(first);
  const proxy = await docker.createContainer({
    Image: 'ephemera/demo',
    Cmd: ['/bin/sh', '-c', 'sleep 600'],
    Labels: { 'ephemera.namespace': namespace },
    HostConfig: { NetworkMode: network.name },
  });
  // Not an instance, so the networks are not removed while it exists.
  onTestFinished(() => proxy.remove({ force: true }));
  await proxy.start();
  const { address } = await start(second);
  const firewalls = await createFirewall({
    network,
    mode: 'required',
    egress,
    runOnHost: runHere,
    logger,
  });
  for (const instancesNetwork of networks.all) await firewalls.secure(instancesNetwork);
  const { Networks } = (await proxy.inspect()).NetworkSettings;
  expect(Object.keys(Networks).sort()).toEqual([namespace, `${namespace}.2`]);
  const line = `printf 'GET /id HTTP/1.0\\r\\n\\r\\n' | nc -w 2 ${address} 8080`;
  await waitFor('an answer', async () => {
    return (await execInside(docker, proxy.id, line)).text.includes(second.id);
  });
});

test('all networks are removed at the end, with their rules', async () => {
  const fixture = await openDocker({ portsPerNetwork: 1 });
  await fixture.start(assignedInstance());
  await fixture.start(assignedInstance());
  const bridges = fixture.networks.all.map(({ bridge }) => bridge.toUpperCase());
  await runHere(
    fixture.networks.all
      .map((instancesNetwork) => firewallScript(instancesNetwork, egress))
      .join('\n'),
  );
  const rules = async () => (await run('iptables', ['-w', '5', '-S'])).stdout;
  for (const bridge of bridges) expect(await rules()).toContain(`EPHEMERA-${bridge}-`);
  await fixture.close();
  expect(await findNetworks(fixture.docker, fixture.namespace)).toEqual([]);
  for (const bridge of bridges) expect(await rules()).not.toContain(`EPHEMERA-${bridge}-`);
});

test('a pruned network is created again, and the others keep their rules', async () => {
  const { docker, namespace, network } = await open();
  const secured = [network];
  onTestFinished(async () => {
    await runHere(secured.map(firewallRemovalScript).join('\n'));
  });
  const options = { network, mode: 'required', egress, runOnHost: runHere, logger } as const;
  const firewall = await createFirewall(options);
  const networks = await instancesNetworks({
    ...{ docker, namespace, subnets: undefined, portsPerNetwork: 1, logger },
    prepare(instancesNetwork) {
      secured.push(instancesNetwork);
      return firewall.secure(instancesNetwork);
    },
    claim: () => Promise.resolve(undefined),
    keep: (found) => firewall.keep(found),
  });
  const look = async () => {
    await networks.refresh();
    await firewall.assert();
    return firewall.startCheck(assignedInstance().template);
  };
  const [first, second] = [await networks.reserve(), await networks.reserve()];
  expect(second.network.name).toBe(`${namespace}.2`);
  second.release();
  await removeNetwork(docker, second.network.name);
  expect(await look()).toEqual([]);
  first.release();
  await removeNetwork(docker, namespace);
  expect(await look()).toEqual([]);
  expect((await networks.reserve()).network.name).toBe(namespace);
  expect(await look()).toEqual([]);
});

test('an unusable further network prevents a start, but does not stop a running worker', async () => {
  const { docker, namespace, networks, start } = await open({ portsPerNetwork: 1 });
  const instance = assignedInstance();
  await start(instance);
  await docker.createNetwork({
    Name: `${namespace}.2`,
    Labels: { [LABEL.namespace]: namespace },
    Internal: true,
  });
  onTestFinished(() => removeNetwork(docker, `${namespace}.2`).then(() => undefined));
  const others = instancesNetworks({
    ...{ docker, namespace, subnets: undefined, portsPerNetwork: 1, logger },
    prepare: () => Promise.resolve(),
    claim: () => Promise.resolve(undefined),
    keep: () => undefined,
  });
  await expect(others).rejects.toThrow(`the Docker network "${namespace}.2" exists, but it`);
  expect((await networks.reserve()).network.name).toBe(`${namespace}.3`);
  expect(networks.all.map(({ name }) => name)).toEqual([namespace, `${namespace}.3`]);
});

test('a further network that another host has is removed, and the next subnet is used', async () => {
  const claimed: string[] = [];
  const { docker, namespace, networks } = await open({
    portsPerNetwork: 1,
    claim({ subnet }) {
      claimed.push(subnet);
      const isFirst = claimed.length === 1;
      return Promise.resolve(isFirst ? `${subnet} belongs to another host.` : undefined);
    },
  });
  await networks.reserve();
  const { network } = await networks.reserve();
  expect(network.name).toBe(`${namespace}.2`);
  expect(network.subnet).toBe(claimed[1]);
  expect(claimed[0]).not.toBe(claimed[1]);
  expect((await findNetworks(docker, namespace)).map(({ subnet }) => subnet)).toEqual([
    networks.all[0]?.subnet,
    claimed[1],
  ]);
});

test('if every further network is refused, the start fails with the reason', async () => {
  const { docker, namespace, networks } = await open({
    portsPerNetwork: 1,
    claim: ({ subnet }) => Promise.resolve(`${subnet} belongs to another host.`),
    subnets: ['10.201.0.0/16'],
  });
  await networks.reserve();
  const refused = networks.reserve();
  await expect(refused).rejects.toThrow(ContainerStartError);
  await expect(refused).rejects.toThrow(/10\.201\.0\.0\/16 belongs to another host/);
  expect(await findNetworks(docker, namespace)).toEqual(networks.all);
});
