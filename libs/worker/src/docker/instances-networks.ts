import { isDeepStrictEqual } from 'node:util';
import { BootError } from '@ephemera/domain';
import { ContainerStartError } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type Docker from 'dockerode';
import { daemonMessage } from './docker-client.ts';
import { connectInfrastructure, countPorts } from './infrastructure.ts';
import type { ClaimNetwork, InstancesNetwork } from './instances-network.ts';
import { ensureNetwork, findNetworks, networkIndexOf } from './instances-network.ts';

/** A bridge port that is reserved until its container runs or is known not to start. */
export interface PortReservation {
  readonly network: InstancesNetwork;
  /** The container runs. The next count of the network includes it. */
  commit(): void;
  release(): void;
  /** The kernel reported a full bridge. Foreign containers may use its ports. */
  reject(): void;
}

/** The networks of the instances of one host. */
export interface InstancesNetworks {
  /** All networks, ordered by index. */
  readonly all: readonly InstancesNetwork[];
  /** Maximum number of instances. Undefined while further networks can be created. */
  readonly max: number | undefined;
  /**
   * Reserves a port on the first network with a free one. Creates a further network if all are
   * full.
   * @throws ContainerStartError if none can be created
   */
  reserve(): Promise<PortReservation>;
  /**
   * Finds networks that other workers have created, counts the ports again, and connects new
   * proxies to all networks.
   */
  refresh(): Promise<void>;
}

export interface NetworksOptions {
  readonly docker: Docker;
  readonly namespace: string;
  /** The /16 subnets to use, in order. Absent: the default list. */
  readonly subnets: readonly string[] | undefined;
  /**
   * Maximum number of instances per network. Less than the 1,023 ports of a bridge, because proxies
   * need some.
   */
  readonly portsPerNetwork: number;
  /** Prepares a network. Called before the first instance uses it. */
  readonly prepare: (network: InstancesNetwork) => Promise<void>;
  /** Registers a further network. Called before the first instance uses it. */
  readonly claim: ClaimNetwork;
  /** Further options of the driver for created networks. */
  readonly networkOptions?: Readonly<Record<string, string>>;
  /**
   * Called with all existing networks at each refresh, so that the state of removed ones can be
   * dropped.
   */
  readonly keep: (found: readonly InstancesNetwork[]) => void;
  readonly logger: Logger;
}

/** Time before a full network, or a failed creation of a network, is tried again, ms. */
const FULL_RETRY_MS = 10_000;

/** Manages the networks of this host. The first one must already exist. */
export async function instancesNetworks(options: NetworksOptions): Promise<InstancesNetworks> {
  const { docker, namespace, portsPerNetwork, logger } = options;
  let all: readonly InstancesNetwork[] = [];
  let creationFailure: { readonly fault: ContainerStartError; readonly until: number } | undefined;
  /**
   * Further networks that do not fit, with their error. Another program has created or changed
   * them.
   */
  let unusable = new Map<string, string>();
  const counted = new Map<string, number>();
  const refusedUntil = new Map<string, number>();
  /** Reserved ports that the last count may not include. */
  const reserved = new Map<string, Set<{ used: boolean }>>();
  const reservedOn = (name: string) => reserved.get(name) ?? new Set();

  const isFull = ({ name }: InstancesNetwork) =>
    performance.now() < (refusedUntil.get(name) ?? 0) ||
    (counted.get(name) ?? 0) + reservedOn(name).size >= portsPerNetwork;

  const count = async ({ name }: InstancesNetwork): Promise<void> => {
    // Only ports of containers that already run are certainly included in the count.
    const seen = [...reservedOn(name)].filter(({ used }) => used);
    counted.set(name, await countPorts(docker, name));
    for (const item of seen) reservedOn(name).delete(item);
  };

  const refresh = async (isStart = false): Promise<void> => {
    const unusableNow = new Map<string, string>();
    const skip = (name: string, fault: BootError) => {
      unusableNow.set(name, fault.message);
      if (unusable.get(name) === fault.message) return;
      logger.warn({ network: name, err: fault }, 'network ignored: not usable for instances');
    };
    const found = await findNetworks(docker, namespace, false, isStart ? undefined : skip);
    // A recreated network may have another bridge.
    const isUnchanged = (instancesNetwork: InstancesNetwork) =>
      all.some((it) => isDeepStrictEqual(it, instancesNetwork));
    const usable: InstancesNetwork[] = [];
    for (const instancesNetwork of found) {
      // At the start, all networks have been registered together.
      const refusal =
        isStart || isUnchanged(instancesNetwork)
          ? undefined
          : await options.claim(instancesNetwork);
      if (refusal === undefined) usable.push(instancesNetwork);
      else skip(instancesNetwork.name, new BootError(refusal));
    }
    unusable = unusableNow;
    options.keep(found);
    await connectInfrastructure(docker, usable);
    for (const instancesNetwork of usable)
      if (!isUnchanged(instancesNetwork)) await options.prepare(instancesNetwork);
    await Promise.all(usable.map(count));
    all = usable;
    if (creationFailure && performance.now() >= creationFailure.until) creationFailure = undefined;
  };

  const make = async (): Promise<void> => {
    await refresh();
    if (all.some((instancesNetwork) => !isFull(instancesNetwork))) return;
    if (creationFailure) throw creationFailure.fault;
    const indexes = new Set(
      [...all.map(({ name }) => name), ...unusable.keys()].map(networkIndexOf),
    );
    // The first network may have been removed, so search for the lowest free index.
    let index = 0;
    while (indexes.has(index)) index++;
    try {
      const { subnets, claim, networkOptions = {} } = options;
      const creation = { claim, options: networkOptions };
      const { name, subnet } = await ensureNetwork(docker, namespace, subnets, index, creation);
      logger.info({ network: name, subnet, portsPerNetwork }, 'network created');
    } catch (error) {
      const fault = new ContainerStartError(
        `The networks of this host are full, and another one could not be created: ${daemonMessage(error)}`,
      );
      logger.warn({ err: error }, 'no further network could be created');
      creationFailure = { fault, until: performance.now() + FULL_RETRY_MS };
      throw fault;
    }
    await refresh();
  };
  let making: Promise<void> | undefined;

  const reservePort = (network: InstancesNetwork): PortReservation => {
    const { name } = network;
    const port = { used: false };
    reserved.set(name, reservedOn(name).add(port));
    const release = () => {
      if (!port.used) reservedOn(name).delete(port);
    };
    return {
      network,
      commit: () => (port.used = true),
      release,
      reject() {
        release();
        refusedUntil.set(name, performance.now() + FULL_RETRY_MS);
      },
    };
  };

  await refresh(true);
  return {
    get all() {
      return all;
    },
    get max() {
      return creationFailure && all.length * portsPerNetwork;
    },
    async reserve() {
      for (;;) {
        const free = all.find((instancesNetwork) => !isFull(instancesNetwork));
        if (free) return reservePort(free);
        making ??= make().finally(() => (making = undefined));
        await making;
      }
    },
    refresh: () => refresh(),
  };
}
