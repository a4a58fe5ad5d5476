import { isDeepStrictEqual } from 'node:util';
import type { BootError } from '@ephemera/domain';
import { ContainerStartError } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type Docker from 'dockerode';
import { daemonMessage } from './deadline.ts';
import { connectInfrastructure, countPorts } from './infrastructure.ts';
import type { InstancesNetwork } from './instances-network.ts';
import { ensureNetwork, findNetworks, networkIndexOf } from './instances-network.ts';

/** A place on a network that is held for a container until it is known to have one, or to need none. */
export interface PortReservation {
  readonly network: InstancesNetwork;
  /** The container runs: from the next count on it is counted with the others. */
  commit(): void;
  release(): void;
  /** The kernel had none for it after all: others are on the bridge too. */
  reject(): void;
}

/** The networks of the instances of one host. */
export interface InstancesNetworks {
  /** All that there are, the first one first. */
  readonly all: readonly InstancesNetwork[];
  /** How many instances they hold; undefined as long as further ones can be made. */
  readonly max: number | undefined;
  /**
   * Holds a port on the first network that has one; a further network is made where all are full.
   * @throws ContainerStartError where none can be made
   */
  reserve(): Promise<PortReservation>;
  /** Finds what other workers have made, counts the ports anew, brings new proxies onto all. */
  refresh(): Promise<void>;
}

export interface NetworksOptions {
  readonly docker: Docker;
  readonly namespace: string;
  /** The /16s that may be used, in their order; all of ours where absent. */
  readonly subnets: readonly string[] | undefined;
  /** How many instances one network takes: below the 1,023 ports of a bridge, for proxies need some. */
  readonly portsPerNetwork: number;
  /** Makes a network fit for use; called before the first instance is on it. */
  readonly prepare: (network: InstancesNetwork) => Promise<void>;
  /** Told all that there are, at each look: what is not among them was taken away. */
  readonly keep: (found: readonly InstancesNetwork[]) => void;
  readonly logger: Logger;
}

/** How long a network counts as full after the kernel said so, or none could be made, ms. */
const FULL_RETRY_MS = 10_000;

/** Finds the networks of this host, the first one made already. */
export async function instancesNetworks(options: NetworksOptions): Promise<InstancesNetworks> {
  const { docker, namespace, portsPerNetwork, logger } = options;
  let all: readonly InstancesNetwork[] = [];
  let cannot: { readonly fault: ContainerStartError; readonly until: number } | undefined;
  /** Further ones that somebody made or changed since the start, each with its fault. */
  let unusable = new Map<string, string>();
  const counted = new Map<string, number>();
  const refusedUntil = new Map<string, number>();
  /** Ports held that the last count may not have seen. */
  const reserved = new Map<string, Set<{ used: boolean }>>();
  const reservedOn = (name: string) => reserved.get(name) ?? new Set();

  const isFull = ({ name }: InstancesNetwork) =>
    performance.now() < (refusedUntil.get(name) ?? 0) ||
    (counted.get(name) ?? 0) + reservedOn(name).size >= portsPerNetwork;

  const count = async ({ name }: InstancesNetwork): Promise<void> => {
    // Only what runs already is sure to be in the count.
    const seen = [...reservedOn(name)].filter(({ used }) => used);
    counted.set(name, await countPorts(docker, name));
    for (const item of seen) reservedOn(name).delete(item);
  };

  const refresh = async (isStart = false): Promise<void> => {
    const odd = new Map<string, string>();
    const skip = (name: string, fault: BootError) => {
      odd.set(name, fault.message);
      if (unusable.get(name) === fault.message) return;
      logger.warn({ network: name, err: fault }, 'network ignored: not usable for instances');
    };
    const found = await findNetworks(docker, namespace, false, isStart ? undefined : skip);
    unusable = odd;
    options.keep(found);
    await connectInfrastructure(docker, found);
    // One that was made anew under its name may have another bridge.
    const isKnown = (instancesNetwork: InstancesNetwork) =>
      all.some((it) => isDeepStrictEqual(it, instancesNetwork));
    for (const instancesNetwork of found)
      if (!isKnown(instancesNetwork)) await options.prepare(instancesNetwork);
    await Promise.all(found.map(count));
    all = found;
    if (cannot && performance.now() >= cannot.until) cannot = undefined;
  };

  const make = async (): Promise<void> => {
    await refresh();
    if (all.some((instancesNetwork) => !isFull(instancesNetwork))) return;
    if (cannot) throw cannot.fault;
    const indexes = new Set(
      [...all.map(({ name }) => name), ...unusable.keys()].map(networkIndexOf),
    );
    // The first may have been taken away.
    let index = 0;
    while (indexes.has(index)) index++;
    try {
      const { name, subnet } = await ensureNetwork(docker, namespace, options.subnets, index);
      logger.info({ network: name, subnet, portsPerNetwork }, 'network made');
    } catch (error) {
      const fault = new ContainerStartError(
        `The networks of this host are full, and a further one could not be made: ${daemonMessage(error)}`,
      );
      logger.warn({ err: error }, 'no further network could be made');
      cannot = { fault, until: performance.now() + FULL_RETRY_MS };
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
      return cannot && all.length * portsPerNetwork;
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
