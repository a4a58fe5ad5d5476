import { isDeepStrictEqual } from 'node:util';
import { StartError } from '@ephemera/domain';
import { StartFault } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type Docker from 'dockerode';
import { wordsOf } from './deadline.ts';
import { bringInfrastructure, countPorts } from './infrastructure.ts';
import type { ClaimNetwork, InstancesNetwork } from './instances-network.ts';
import { ensureNetwork, findNetworks, turnOf } from './instances-network.ts';

/** A place on a network that is held for a container until it is known to have one, or to need none. */
export interface HeldPort {
  readonly network: InstancesNetwork;
  /** The container runs: from the next count on it is counted with the others. */
  use(): void;
  release(): void;
  /** The kernel had none for it after all: others are on the bridge too. */
  refused(): void;
}

/** The networks of the instances of one host. */
export interface InstancesNetworks {
  /** All that there are, the first one first. */
  readonly all: readonly InstancesNetwork[];
  /** How many instances they hold; undefined as long as further ones can be made. */
  readonly most: number | undefined;
  /**
   * Holds a port on the first network that has one; a further network is made where all are full.
   * @throws StartFault where none can be made
   */
  hold(): Promise<HeldPort>;
  /** Finds what other workers have made, counts the ports anew, brings new proxies onto all. */
  refresh(): Promise<void>;
}

export interface NetworksOptions {
  readonly docker: Docker;
  readonly namespace: string;
  /** The /16s that may be used, in their order; all of ours where absent. */
  readonly subnets: readonly string[] | undefined;
  /** How many instances one network takes: below the 1,023 ports of a bridge, for proxies need some. */
  readonly portsEach: number;
  /** Makes a network fit for use; called before the first instance is on it. */
  readonly prepare: (network: InstancesNetwork) => Promise<void>;
  /** Registers a further network; called before the first instance is on it. */
  readonly claim: ClaimNetwork;
  /** Told all that there are, at each look: what is not among them was taken away. */
  readonly keep: (found: readonly InstancesNetwork[]) => void;
  readonly logger: Logger;
}

/** How long a network counts as full after the kernel said so, or none could be made, ms. */
const FULL_FOR = 10_000;

/** Finds the networks of this host, the first one made already. */
export async function instancesNetworks(options: NetworksOptions): Promise<InstancesNetworks> {
  const { docker, namespace, portsEach, logger } = options;
  let all: readonly InstancesNetwork[] = [];
  let cannot: { readonly fault: StartFault; readonly until: number } | undefined;
  /** Further ones that somebody made or changed since the start, each with its fault. */
  let unfit = new Map<string, string>();
  const counted = new Map<string, number>();
  const refusedUntil = new Map<string, number>();
  /** Ports held that the last count may not have seen. */
  const held = new Map<string, Set<{ used: boolean }>>();
  const heldOn = (name: string) => held.get(name) ?? new Set();

  const isFull = ({ name }: InstancesNetwork) =>
    performance.now() < (refusedUntil.get(name) ?? 0) ||
    (counted.get(name) ?? 0) + heldOn(name).size >= portsEach;

  const count = async ({ name }: InstancesNetwork): Promise<void> => {
    // Only what runs already is sure to be in the count.
    const seen = [...heldOn(name)].filter(({ used }) => used);
    counted.set(name, await countPorts(docker, name));
    for (const each of seen) heldOn(name).delete(each);
  };

  const refresh = async (isStart = false): Promise<void> => {
    const odd = new Map<string, string>();
    const skip = (name: string, fault: StartError) => {
      odd.set(name, fault.message);
      if (unfit.get(name) === fault.message) return;
      logger.warn({ network: name, err: fault }, 'a network is not fit for instances: left alone');
    };
    const found = await findNetworks(docker, namespace, false, isStart ? undefined : skip);
    // One that was made anew under its name may have another bridge.
    const isKnown = (each: InstancesNetwork) => all.some((it) => isDeepStrictEqual(it, each));
    const usable: InstancesNetwork[] = [];
    for (const each of found) {
      // At the start, all are registered together afterwards.
      const refusal = isStart || isKnown(each) ? undefined : await options.claim(each);
      if (refusal === undefined) usable.push(each);
      else skip(each.name, new StartError(refusal));
    }
    unfit = odd;
    options.keep(found);
    await bringInfrastructure(docker, usable);
    for (const each of usable) if (!isKnown(each)) await options.prepare(each);
    await Promise.all(usable.map(count));
    all = usable;
    if (cannot && performance.now() >= cannot.until) cannot = undefined;
  };

  const make = async (): Promise<void> => {
    await refresh();
    if (all.some((each) => !isFull(each))) return;
    if (cannot) throw cannot.fault;
    const turns = new Set([...all.map(({ name }) => name), ...unfit.keys()].map(turnOf));
    // The first may have been taken away.
    let turn = 0;
    while (turns.has(turn)) turn++;
    try {
      const { subnets, claim } = options;
      const { name, subnet } = await ensureNetwork(docker, namespace, subnets, turn, claim);
      logger.info({ network: name, subnet, portsEach }, 'network made');
    } catch (error) {
      const fault = new StartFault(
        `The networks of this host are full, and a further one could not be made: ${wordsOf(error)}`,
      );
      logger.warn({ err: error }, 'no further network could be made');
      cannot = { fault, until: performance.now() + FULL_FOR };
      throw fault;
    }
    await refresh();
  };
  let making: Promise<void> | undefined;

  const holdOn = (network: InstancesNetwork): HeldPort => {
    const { name } = network;
    const port = { used: false };
    held.set(name, heldOn(name).add(port));
    const release = () => {
      if (!port.used) heldOn(name).delete(port);
    };
    return {
      network,
      use: () => (port.used = true),
      release,
      refused() {
        release();
        refusedUntil.set(name, performance.now() + FULL_FOR);
      },
    };
  };

  await refresh(true);
  return {
    get all() {
      return all;
    },
    get most() {
      return cannot && all.length * portsEach;
    },
    async hold() {
      for (;;) {
        const free = all.find((each) => !isFull(each));
        if (free) return holdOn(free);
        making ??= make().finally(() => (making = undefined));
        await making;
      }
    },
    refresh: () => refresh(),
  };
}
