import { randomBytes } from 'node:crypto';
import { BootError } from '@ephemera/domain';
import { expect, onTestFinished, test } from 'vitest';
import { DOCKER_HOST, assignedInstance, openDocker, removeAll } from '../../test/docker-fixture.ts';
import { connectDocker } from './docker-client.ts';
import { ensureNetwork, findNetwork, removeNetwork } from './instances-network.ts';

const docker = connectDocker(DOCKER_HOST);

function namespaceOfItsOwn(): string {
  const namespace = `test-${randomBytes(4).toString('hex')}`;
  onTestFinished(() => removeAll(namespace));
  return namespace;
}

/** A network that no worker has created, so `removeAll` leaves it. */
async function foreignNetwork(options: object): Promise<string> {
  const name = `test-${randomBytes(4).toString('hex')}`;
  const network = await docker.createNetwork({ Name: name, ...options });
  onTestFinished(() => network.remove());
  return name;
}

test('is a bridge without traffic between containers, with a range for the infrastructure', async () => {
  const namespace = namespaceOfItsOwn();
  const network = await ensureNetwork(docker, namespace);
  const found = await docker.getNetwork(namespace).inspect();
  expect(found).toMatchObject({
    Driver: 'bridge',
    EnableIPv6: false,
    Labels: { 'ephemera.namespace': namespace },
    Options: {
      'com.docker.network.bridge.name': network.bridge,
      'com.docker.network.bridge.enable_icc': 'false',
    },
  });
  expect(found.IPAM?.Config).toEqual([
    expect.objectContaining({ Subnet: network.subnet, IPRange: network.infrastructure }),
  ]);
  expect(network.bridge).toMatch(/^eph-[0-9a-f]{8}$/);
  const base = network.subnet.replace('.0.0/16', '');
  expect(network.infrastructure).toBe(`${base}.0.0/24`);
  const bounds = [network.range, network.open.range].map(({ first, count }) => [
    first & 0xffff,
    (first + count - 1) & 0xffff,
  ]);
  // Instances without egress are below the last quarter, those with egress in it. The broadcast
  // address is excluded.
  expect(bounds).toEqual([
    [256, 49_151],
    [49_152, 65_534],
  ]);
});

test('concurrent calls create one network, and later calls find it', async () => {
  const namespace = namespaceOfItsOwn();
  const made = await Promise.all(Array.from({ length: 4 }, () => ensureNetwork(docker, namespace)));
  for (const instancesNetwork of made) expect(instancesNetwork).toEqual(made[0]);
  expect(await findNetwork(docker, namespace)).toEqual(made[0]);
  expect(await ensureNetwork(docker, namespace)).toEqual(made[0]);
  const named = await docker.listNetworks({ filters: { name: [namespace] } });
  expect(named).toHaveLength(1);
});

test('uses the next subnet if one is in use', async () => {
  const [one, two] = [namespaceOfItsOwn(), namespaceOfItsOwn()];
  const networks = [await ensureNetwork(docker, one), await ensureNetwork(docker, two)];
  expect(new Set(networks.map(({ subnet }) => subnet)).size).toBe(2);
  expect(new Set(networks.map(({ bridge }) => bridge)).size).toBe(2);
});

test('reports why no network can be created if the configured subnet is in use', async () => {
  const { subnet } = await ensureNetwork(docker, namespaceOfItsOwn());
  const refused = ensureNetwork(docker, namespaceOfItsOwn(), [subnet]);
  await expect(refused).rejects.toThrow(BootError);
  await expect(refused).rejects.toThrow(`${subnet}: `);
  await expect(refused).rejects.toThrow('Set EPHEMERA_SUBNET to /16 ranges of which one is free');
});

test('refuses a network of this name with another driver', async () => {
  const namespace = await foreignNetwork({
    IPAM: { Driver: 'default', Config: [{ Subnet: '10.254.253.0/24' }] },
  });
  await expect(ensureNetwork(docker, namespace)).rejects.toThrow(
    /is not a bridge with an IPv4 \/16/,
  );
});

const fit = {
  Driver: 'bridge',
  EnableIPv6: false,
  IPAM: {
    Driver: 'default',
    Config: [{ Subnet: '10.230.0.0/16', IPRange: '10.230.0.0/24' }],
  },
  Options: { 'com.docker.network.bridge.enable_icc': 'false' },
};
const config = (...Config: object[]) => ({ IPAM: { Driver: 'default', Config } });

test.each([
  [
    'with IPv6',
    { EnableIPv6: true, ...config(...fit.IPAM.Config, { Subnet: 'fd00:e9e::/64' }) },
    /has IPv6/,
  ],
  ['whose containers reach each other', { Options: {} }, /each other \(.*enable_icc\)/],
  ['without an IPRange', config({ Subnet: '10.230.0.0/16' }), /IPRange "" instead/],
  [
    'with another IPRange',
    config({ Subnet: '10.230.0.0/16', IPRange: '10.230.128.0/24' }),
    /IPRange "10\.230\.128\.0\/24" instead of 10\.230\.0\.0\/24/,
  ],
])('refuses a network %s, and says what to do', async (_, change, reason) => {
  const namespace = await foreignNetwork({ ...fit, ...change });
  const refused = ensureNetwork(docker, namespace);
  await expect(refused).rejects.toThrow(BootError);
  await expect(refused).rejects.toThrow(reason);
  await expect(refused).rejects.toThrow(`network "${namespace}"`);
  await expect(refused).rejects.toThrow(/remove it, or set another EPHEMERA_NAMESPACE/);
});

test('accepts a foreign network with the same options', async () => {
  const namespace = await foreignNetwork(fit);
  expect((await ensureNetwork(docker, namespace)).subnet).toBe('10.230.0.0/16');
});

// Docker matches an id prefix as a name. Without the check, a deployment named `c` would find, use
// and remove a foreign network.
test('ignores a network whose id begins with the name', async () => {
  const { name, id } = await networkWithLetterId();
  expect(await findNetwork(docker, id.slice(0, 6))).toBeUndefined();
  expect(await removeNetwork(docker, id.slice(0, 6))).toBe(true);
  expect((await docker.getNetwork(name).inspect()).Id).toBe(id);
});

test('cannot be removed while a container uses it', async () => {
  const { containers, start, namespace, close } = await openDocker();
  onTestFinished(close);
  const instance = assignedInstance();
  await start(instance);
  expect(await removeNetwork(docker, namespace)).toBe(false);
  await containers.removeInstance(instance.id, 0);
  expect(await removeNetwork(docker, namespace)).toBe(true);
  expect(await removeNetwork(docker, namespace)).toBe(true);
  expect(await findNetwork(docker, namespace)).toBeUndefined();
});

/** Ids are random. A few attempts give one that begins with a letter, as namespaces do. */
async function networkWithLetterId(): Promise<{ name: string; id: string }> {
  for (;;) {
    const name = namespaceOfItsOwn();
    await ensureNetwork(docker, name);
    const { Id: id } = await docker.getNetwork(name).inspect();
    if (/^[a-f]/.test(id)) return { name, id };
  }
}
