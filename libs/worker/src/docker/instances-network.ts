import { createHash } from 'node:crypto';
import { BootError } from '@ephemera/domain';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS } from '../limits.ts';
import { statusOf, ignoreStatus, withDeadline, daemonMessage } from './docker-client.ts';
import { LABEL } from './labels.ts';

/** An address range within a network. */
export interface AddressRange {
  /** First address, as a number. */
  readonly first: number;
  readonly count: number;
}

export interface InstancesNetwork {
  /** Docker's network id. It changes when the network is recreated. */
  readonly id: string;
  readonly name: string;
  readonly bridge: string;
  readonly subnet: string;
  /** The address of the bridge. */
  readonly gateway: string;
  /** The first /24, for proxies and workers that run in containers. */
  readonly infrastructure: string;
  /** Addresses of instances without egress. */
  readonly range: AddressRange;
  /** Addresses of instances with egress. The firewall rules identify them by their address only. */
  readonly open: { readonly subnet: string; readonly range: AddressRange };
}

/** Registers a network for this host. Returns the reason, as a sentence, if it is refused. */
export type ClaimNetwork = (network: InstancesNetwork) => Promise<string | undefined>;

/** What a network is created with. */
export interface NetworkCreation {
  readonly claim?: ClaimNetwork;
  readonly options?: Readonly<Record<string, string>>;
}

const ICC = 'com.docker.network.bridge.enable_icc';

const SUBNETS = Array.from({ length: 24 }, (_, i) => `10.${231 + i}.0.0/16`);

/**
 * Finds or creates a bridge network for the instances of this host. The compose file or another
 * worker may have created it.
 *
 * @param subnets the /16 subnets to use, in order
 * @param index 0 for the first network of the host, 1 for the second
 * @param creation `claim` registers a created network, or returns the reason why it must not be used;
 * the network is then removed and the next subnet is tried. `options` are further options of its driver
 * @throws BootError if no network can be created, or an existing one has unsuitable options
 */
export async function ensureNetwork(
  docker: Docker,
  namespace: string,
  subnets: readonly string[] = SUBNETS,
  index = 0,
  { claim = () => Promise.resolve(undefined), options = {} }: NetworkCreation = {},
): Promise<InstancesNetwork> {
  const name = networkName(namespace, index);
  const found = await findNetwork(docker, name);
  if (found) return found;
  const refusals: string[] = [];
  for (const candidate of subnets) {
    try {
      const created = optionsFor(namespace, index, candidate, options);
      await withDeadline('network', DEFAULT_TIMEOUT_MS, docker.createNetwork(created));
    } catch (error) {
      if (statusOf(error) === undefined) throw error;
      refusals.push(`${candidate}: ${daemonMessage(error)}`);
    }
    // Created here, or by another worker just before.
    const made = await findNetwork(docker, name);
    if (!made) continue;
    const refusal = await claim(made);
    if (refusal === undefined) return made;
    refusals.push(`${candidate}: ${refusal}`);
    await removeNetwork(docker, name);
  }
  throw new BootError(
    [
      'No network for the instances could be created:',
      ...refusals.map((refusal) => `  ${refusal}`),
      'Set EPHEMERA_SUBNET to /16 ranges of which one is free, separated by commas. Each worker that ' +
        'runs on its own, and each `ephemera try`, needs a range that no other network uses.',
    ].join('\n'),
  );
}

/**
 * The networks of a deployment on this host, ordered by index.
 *
 * @param includeUnusable see `findNetwork`
 * @param unusable called for a further network with unsuitable options, which is then skipped
 */
export async function findNetworks(
  docker: Docker,
  namespace: string,
  includeUnusable = false,
  unusable?: (name: string, fault: BootError) => void,
): Promise<InstancesNetwork[]> {
  const filters = { label: [`${LABEL.namespace}=${namespace}`] };
  const listed = await withDeadline(
    'networks',
    DEFAULT_TIMEOUT_MS,
    docker.listNetworks({ filters }),
  );
  // The first network may come from the compose file, which sets no label.
  const names = new Set([namespace, ...listed.map(({ Name }) => Name)]);
  const find = async (name: string) => {
    try {
      return await findNetwork(docker, name, includeUnusable);
    } catch (error) {
      if (!unusable || name === namespace || !(error instanceof BootError)) throw error;
      unusable(name, error);
      return undefined;
    }
  };
  const found = await Promise.all([...names].map(find));
  return found
    .filter((item) => item !== undefined)
    .sort((a, b) => networkIndexOf(a.name) - networkIndexOf(b.name));
}

/**
 * Whether a worker has created a network. Those of the compose file or an operator have no label.
 */
export async function isMadeByWorker(
  docker: Docker,
  namespace: string,
  name: string,
): Promise<boolean> {
  const found = await inspectNetwork(docker, name);
  return found?.Labels?.[LABEL.namespace] === namespace;
}

/** Removes a network. Returns false if containers still use it. */
export async function removeNetwork(docker: Docker, name: string): Promise<boolean> {
  const found = await inspectNetwork(docker, name);
  if (!found) return true;
  const call = docker.getNetwork(found.Id).remove();
  try {
    await ignoreStatus([404], withDeadline('network', DEFAULT_TIMEOUT_MS, call));
    return true;
  } catch (error) {
    if (statusOf(error) === 403) return false;
    throw error;
  }
}

/**
 * Finds one network of a deployment. Undefined if it does not exist.
 *
 * @param includeUnusable also return a network with unsuitable options, so that it can be removed
 * @throws BootError if its options are unsuitable
 */
export async function findNetwork(
  docker: Docker,
  name: string,
  includeUnusable = false,
): Promise<InstancesNetwork | undefined> {
  const found = await inspectNetwork(docker, name);
  if (!found) return undefined;
  const subnet = found.IPAM?.Config?.[0]?.Subnet;
  const refuse = (...faults: string[]): never => {
    throw new BootError(
      `the Docker network "${name}" exists, but it ${faults.join(', and it ')}: ` +
        'remove it, or set another EPHEMERA_NAMESPACE',
    );
  };
  if (found.Driver !== 'bridge' || !subnet?.endsWith('/16')) {
    return refuse('is not a bridge with an IPv4 /16');
  }
  const described = describeNetwork(name, bridgeOf(found), subnet, found.Id);
  const [gateway = described.gateway] = found.IPAM?.Config?.[0]?.Gateway?.split('/') ?? [];
  const network = { ...described, gateway };
  const faults = includeUnusable ? [] : networkIssues(found, network);
  return faults.length > 0 ? refuse(...faults) : network;
}

function bridgeOf({ Id, Options }: Docker.NetworkInspectInfo): string {
  return Options?.['com.docker.network.bridge.name'] ?? `br-${Id.slice(0, 12)}`;
}

/** The options that differ from those of a network that a worker creates. */
function networkIssues(
  found: Docker.NetworkInspectInfo,
  { infrastructure }: InstancesNetwork,
): string[] {
  const { IPRange: range = '' } = found.IPAM?.Config?.[0] ?? {};
  const faults: string[] = [];
  if (found.EnableIPv6) faults.push('has IPv6 (EnableIPv6)');
  if (found.Options?.[ICC] !== 'false') faults.push(`lets containers reach each other (${ICC})`);
  if (range !== infrastructure) {
    // Docker would assign addresses of instances to other containers.
    faults.push(`has the IPRange "${range}" instead of ${infrastructure}`);
  }
  return faults;
}

/**
 * Inspects a network by its exact name. Docker also matches an id prefix, which may be a foreign
 * network.
 */
export async function inspectNetwork(
  docker: Docker,
  name: string,
): Promise<Docker.NetworkInspectInfo | undefined> {
  const call = docker.getNetwork(name).inspect();
  const found = await ignoreStatus([404], withDeadline('network', DEFAULT_TIMEOUT_MS, call));
  return found?.Name === name ? found : undefined;
}

function optionsFor(
  namespace: string,
  index: number,
  subnet: string,
  more: Readonly<Record<string, string>>,
): Docker.NetworkCreateOptions {
  const name = networkName(namespace, index);
  const { infrastructure } = describeNetwork(name, '', subnet);
  return {
    Name: name,
    CheckDuplicate: true,
    Driver: 'bridge',
    EnableIPv6: false,
    Labels: { [LABEL.namespace]: namespace },
    IPAM: { Driver: 'default', Config: [{ Subnet: subnet, IPRange: infrastructure }] },
    Options: {
      'com.docker.network.bridge.name': bridgeName(namespace, index),
      [ICC]: 'false',
      ...more,
    },
  };
}

/** Derives the address ranges of a network from its /16. */
export function describeNetwork(
  name: string,
  bridge: string,
  subnet: string,
  id = '',
): InstancesNetwork {
  const [a = 0, b = 0] = subnet.split('.').map(Number);
  const base = a * 2 ** 24 + b * 2 ** 16;
  return {
    id,
    name,
    bridge,
    subnet,
    gateway: `${a}.${b}.0.1`,
    infrastructure: `${a}.${b}.0.0/24`,
    range: { first: base + 256, count: 192 * 256 - 256 },
    open: {
      subnet: `${a}.${b}.192.0/18`,
      // Without the broadcast address.
      range: { first: base + 192 * 256, count: 64 * 256 - 1 },
    },
  };
}

/**
 * A namespace has no dot, so names of further networks never equal the first network of another
 * namespace.
 */
function networkName(namespace: string, index: number): string {
  return index === 0 ? namespace : `${namespace}.${index + 1}`;
}

/** The index in a network's name. The first network has index 0. */
export function networkIndexOf(name: string): number {
  const dot = name.indexOf('.');
  return dot === -1 ? 0 : Number(name.slice(dot + 1)) - 1;
}

/** The bridges of all networks of a daemon, including foreign ones. */
export async function listBridges(docker: Docker): Promise<string[]> {
  const call = docker.listNetworks({ filters: { driver: ['bridge'] } });
  return (await withDeadline('networks', DEFAULT_TIMEOUT_MS, call)).map(bridgeOf);
}

/**
 * Whether a bridge has the name that a worker gives to the bridges of a namespace. A compose file
 * or an operator may give others.
 */
export function isBridgeOf(namespace: string, bridge: string): boolean {
  const [, index] = /(\d+)$/.exec(bridge) ?? [];
  return [0, Number(index)].some((item) => bridgeName(namespace, item) === bridge);
}

/** An interface name has at most 15 characters and must be unique per deployment. */
function bridgeName(namespace: string, index: number): string {
  if (namespace === 'ephemera') return `eph${index}`;
  const digest = createHash('sha256').update(namespace).digest('hex').slice(0, 8);
  return index === 0 ? `eph-${digest}` : `eph-${digest}-${index}`;
}
