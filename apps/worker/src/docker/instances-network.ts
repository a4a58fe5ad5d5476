import { createHash } from 'node:crypto';
import { StartError } from '@ephemera/domain';
import type { AddressRange } from '@ephemera/store';
import type Docker from 'dockerode';
import { QUICK, statusOf, unlessStatus, withDeadline, wordsOf } from './deadline.ts';
import { LABEL } from './labels.ts';

export interface InstancesNetwork {
  readonly name: string;
  readonly bridge: string;
  readonly subnet: string;
  /** The /24 at its start, for proxies and workers that are containers themselves. */
  readonly infrastructure: string;
  /** What instances take their addresses from: all above the infrastructure. */
  readonly range: AddressRange;
}

const SUBNETS = Array.from({ length: 9 }, (_, i) => `10.${231 + i}.0.0/16`);

/**
 * Finds or makes the bridge that the instances of this host are on. One that is there is used as
 * it is: the compose file, or another worker, may have made it.
 */
export async function ensureNetwork(
  docker: Docker,
  namespace: string,
  subnet?: string,
): Promise<InstancesNetwork> {
  const found = await findNetwork(docker, namespace);
  if (found) return found;
  const refusals: string[] = [];
  for (const candidate of subnet === undefined ? SUBNETS : [subnet]) {
    try {
      await withDeadline('network', QUICK, docker.createNetwork(optionsFor(namespace, candidate)));
    } catch (error) {
      if (statusOf(error) === undefined) throw error;
      refusals.push(`${candidate}: ${wordsOf(error)}`);
    }
    // Made here, or by another worker a moment before.
    const made = await findNetwork(docker, namespace);
    if (made) return made;
  }
  throw new StartError(`no network for the instances could be made:\n  ${refusals.join('\n  ')}`);
}

/** Removes the network where no container is on it any more. */
export async function removeNetwork(docker: Docker, namespace: string): Promise<boolean> {
  const found = await inspect(docker, namespace);
  if (!found) return true;
  const call = docker.getNetwork(found.Id).remove();
  try {
    await unlessStatus([404], withDeadline('network', QUICK, call));
    return true;
  } catch (error) {
    if (statusOf(error) === 403) return false;
    throw error;
  }
}

/** Gives the network of a deployment; undefined where there is none. */
export async function findNetwork(
  docker: Docker,
  name: string,
): Promise<InstancesNetwork | undefined> {
  const found = await inspect(docker, name);
  if (!found) return undefined;
  const subnet = found.IPAM?.Config?.[0]?.Subnet;
  if (found.Driver !== 'bridge' || !subnet?.endsWith('/16')) {
    throw new StartError(
      `the Docker network "${name}" is there, but it is no bridge with an IPv4 /16: ` +
        'remove it, or give another EPHEMERA_NAMESPACE',
    );
  }
  const bridge = found.Options?.['com.docker.network.bridge.name'] ?? `br-${found.Id.slice(0, 12)}`;
  return describe(name, bridge, subnet);
}

/** Docker also takes the beginning of an id for a name: what is found so is a stranger's. */
async function inspect(
  docker: Docker,
  name: string,
): Promise<Docker.NetworkInspectInfo | undefined> {
  const call = docker.getNetwork(name).inspect();
  const found = await unlessStatus([404], withDeadline('network', QUICK, call));
  return found?.Name === name ? found : undefined;
}

function optionsFor(namespace: string, subnet: string): Docker.NetworkCreateOptions {
  const { infrastructure } = describe(namespace, '', subnet);
  return {
    Name: namespace,
    CheckDuplicate: true,
    Driver: 'bridge',
    EnableIPv6: false,
    Labels: { [LABEL.namespace]: namespace },
    IPAM: { Driver: 'default', Config: [{ Subnet: subnet, IPRange: infrastructure }] },
    Options: {
      'com.docker.network.bridge.name': bridgeName(namespace),
      'com.docker.network.bridge.enable_icc': 'false',
    },
  };
}

function describe(name: string, bridge: string, subnet: string): InstancesNetwork {
  const [a = 0, b = 0] = subnet.split('.').map(Number);
  const base = a * 2 ** 24 + b * 2 ** 16;
  return {
    name,
    bridge,
    subnet,
    infrastructure: `${a}.${b}.0.0/24`,
    range: { first: base + 256, count: 65_536 - 256 - 1 },
  };
}

/** An interface's name has at most 15 characters; two deployments must not share one. */
function bridgeName(namespace: string): string {
  if (namespace === 'ephemera') return 'eph0';
  return `eph-${createHash('sha256').update(namespace).digest('hex').slice(0, 8)}`;
}
