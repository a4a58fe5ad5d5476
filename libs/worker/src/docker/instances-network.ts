import { createHash } from 'node:crypto';
import { BootError } from '@ephemera/domain';
import type Docker from 'dockerode';
import {
  DEFAULT_TIMEOUT_MS,
  statusOf,
  ignoreStatus,
  withDeadline,
  daemonMessage,
} from './deadline.ts';
import { LABEL } from './labels.ts';

/** The part of a network that instances take addresses from. */
export interface AddressRange {
  /** First address, as a number. */
  readonly first: number;
  readonly count: number;
}

export interface InstancesNetwork {
  /** Docker's id of it: another one where it was removed and made again. */
  readonly id: string;
  readonly name: string;
  readonly bridge: string;
  readonly subnet: string;
  /** The /24 at its start, for proxies and workers that are containers themselves. */
  readonly infrastructure: string;
  /** What instances take their addresses from that may not open connections outwards. */
  readonly range: AddressRange;
  /** What those take theirs from that may: the rules tell them from the others by nothing else. */
  readonly open: { readonly subnet: string; readonly range: AddressRange };
}

/** Registers a network for this host; gives the reason, as a sentence, where that is refused. */
export type ClaimNetwork = (network: InstancesNetwork) => Promise<string | undefined>;

const ICC = 'com.docker.network.bridge.enable_icc';

const SUBNETS = Array.from({ length: 24 }, (_, i) => `10.${231 + i}.0.0/16`);

/**
 * Finds or makes the bridge that the instances of this host are on: the compose file, or another
 * worker, may have made it.
 *
 * @param subnets the /16s that may be used, in their order; all of ours where absent
 * @param turn 0 for the first network of the host, 1 for the second
 * @param claim registers one that was made, or gives the reason why it must not be
 *   used: then the network is removed and the next subnet is tried
 * @throws BootError where none can be made, or one of its name is not as instances need it
 */
export async function ensureNetwork(
  docker: Docker,
  namespace: string,
  subnets: readonly string[] = SUBNETS,
  index = 0,
  claim: ClaimNetwork = () => Promise.resolve(undefined),
): Promise<InstancesNetwork> {
  const name = networkName(namespace, index);
  const found = await findNetwork(docker, name);
  if (found) return found;
  const refusals: string[] = [];
  for (const candidate of subnets) {
    try {
      const options = optionsFor(namespace, index, candidate);
      await withDeadline('network', DEFAULT_TIMEOUT_MS, docker.createNetwork(options));
    } catch (error) {
      if (statusOf(error) === undefined) throw error;
      refusals.push(`${candidate}: ${daemonMessage(error)}`);
    }
    // Made here, or by another worker a moment before.
    const made = await findNetwork(docker, name);
    if (!made) continue;
    const refusal = await claim(made);
    if (refusal === undefined) return made;
    refusals.push(`${candidate}: ${refusal}`);
    await removeNetwork(docker, name);
  }
  throw new BootError(`no network for the instances could be made:\n  ${refusals.join('\n  ')}`);
}

/**
 * The networks of a deployment on this host, the first one first; `anyhow` as for one.
 *
 * @param unfit hears of a further one that is not as instances need it, which is left out then
 */
export async function findNetworks(
  docker: Docker,
  namespace: string,
  anyhow = false,
  unusable?: (name: string, fault: BootError) => void,
): Promise<InstancesNetwork[]> {
  const filters = { label: [`${LABEL.namespace}=${namespace}`] };
  const listed = await withDeadline(
    'networks',
    DEFAULT_TIMEOUT_MS,
    docker.listNetworks({ filters }),
  );
  // The first may have been made by the compose file, and has no label then.
  const names = new Set([namespace, ...listed.map(({ Name }) => Name)]);
  const find = async (name: string) => {
    try {
      return await findNetwork(docker, name, anyhow);
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

/** Whether a worker has made a network; the compose file, or an operator, makes them without a label. */
export async function isMadeByWorker(
  docker: Docker,
  namespace: string,
  name: string,
): Promise<boolean> {
  const found = await inspectNetwork(docker, name);
  return found?.Labels?.[LABEL.namespace] === namespace;
}

/** Removes a network where no container is on it any more. */
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
 * Gives one of the networks of a deployment; undefined where there is none of that name.
 *
 * @param anyhow also one that no instance may be put on: to take it away
 * @throws BootError where it is not as instances need it
 */
export async function findNetwork(
  docker: Docker,
  name: string,
  anyhow = false,
): Promise<InstancesNetwork | undefined> {
  const found = await inspectNetwork(docker, name);
  if (!found) return undefined;
  const subnet = found.IPAM?.Config?.[0]?.Subnet;
  const refuse = (...faults: string[]): never => {
    throw new BootError(
      `the Docker network "${name}" is there, but it ${faults.join(', and it ')}: ` +
        'remove it, or give another EPHEMERA_NAMESPACE',
    );
  };
  if (found.Driver !== 'bridge' || !subnet?.endsWith('/16')) {
    return refuse('is no bridge with an IPv4 /16');
  }
  const bridge = found.Options?.['com.docker.network.bridge.name'] ?? `br-${found.Id.slice(0, 12)}`;
  const network = describeNetwork(name, bridge, subnet, found.Id);
  const faults = anyhow ? [] : networkIssues(found, network);
  return faults.length > 0 ? refuse(...faults) : network;
}

/** What of it is not as it would have been made here. */
function networkIssues(
  found: Docker.NetworkInspectInfo,
  { infrastructure }: InstancesNetwork,
): string[] {
  const { IPRange: range = '' } = found.IPAM?.Config?.[0] ?? {};
  const faults: string[] = [];
  if (found.EnableIPv6) faults.push('has IPv6 (EnableIPv6)');
  if (found.Options?.[ICC] !== 'false') faults.push(`lets containers reach each other (${ICC})`);
  if (range !== infrastructure) {
    // Docker would give others the addresses that instances are to have.
    faults.push(
      `has the range "${range}" for others than instances, not ${infrastructure} (IPRange)`,
    );
  }
  return faults;
}

/** Docker also takes the beginning of an id for a name: what is found so is a stranger's. */
export async function inspectNetwork(
  docker: Docker,
  name: string,
): Promise<Docker.NetworkInspectInfo | undefined> {
  const call = docker.getNetwork(name).inspect();
  const found = await ignoreStatus([404], withDeadline('network', DEFAULT_TIMEOUT_MS, call));
  return found?.Name === name ? found : undefined;
}

function optionsFor(namespace: string, index: number, subnet: string): Docker.NetworkCreateOptions {
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
    },
  };
}

/** What follows from its name, its bridge and its /16. */
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
    infrastructure: `${a}.${b}.0.0/24`,
    range: { first: base + 256, count: 192 * 256 - 256 },
    open: {
      subnet: `${a}.${b}.192.0/18`,
      // Without the broadcast address.
      range: { first: base + 192 * 256, count: 64 * 256 - 1 },
    },
  };
}

/** A namespace has no dot, so the second network of one is never the first of another. */
function networkName(namespace: string, index: number): string {
  return index === 0 ? namespace : `${namespace}.${index + 1}`;
}

/** Which of a host's networks it is, by its name; the first is 0. */
export function networkIndexOf(name: string): number {
  const dot = name.indexOf('.');
  return dot === -1 ? 0 : Number(name.slice(dot + 1)) - 1;
}

/** An interface's name has at most 15 characters; two deployments must not share one. */
function bridgeName(namespace: string, index: number): string {
  if (namespace === 'ephemera') return `eph${index}`;
  const digest = createHash('sha256').update(namespace).digest('hex').slice(0, 8);
  return index === 0 ? `eph-${digest}` : `eph-${digest}-${index}`;
}
