import { BlockList, isIP } from 'node:net';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import { loadScript, runScript } from './run-script.ts';

const script = loadScript('register');

/** Distinguishes two Docker daemons that use the same host id. */
export interface Fingerprint {
  /** The boot id of the kernel. It changes with every boot, and differs on cloned machines. */
  readonly bootId: string;
  /**
   * The id of the first Docker network for instances. It differs between two daemons on one kernel.
   */
  readonly networkId: string;
}

export interface HostClaim {
  readonly host: string;
  readonly fingerprint: Fingerprint;
  /** The network id that this worker registered before, where it has changed since. */
  readonly previousNetworkId?: string | undefined;
  /** The networks of the host, IPv4 CIDR. */
  readonly networks: readonly string[];
}

/** A network of this host that overlaps a network of another live host. */
export interface NetworkOverlap {
  readonly network: string;
  readonly otherHost: string;
  readonly otherNetwork: string;
  /** Last heartbeat of that host, epoch milliseconds. */
  readonly otherSeenAt: number;
}

export type RegisterReply =
  | { readonly kind: 'registered' }
  | { readonly kind: 'overlap'; readonly overlaps: readonly NetworkOverlap[] }
  /** Another live daemon has this host id. */
  | { readonly kind: 'taken'; readonly by: Fingerprint; readonly seenAt: number };

/** The networks and fingerprints of all hosts: no two live hosts share an address or an id. */
export interface HostRegistry {
  /**
   * Registers a host and records a heartbeat of it, in one step.
   *
   * - `start` replaces the networks of the host; on an overlap it changes nothing.
   * - `refresh` adds networks and skips those that overlap.
   * - `release` records no heartbeat, because the worker stops. Until another worker's next
   *   heartbeat, another fingerprint of the same boot may take the id.
   *
   * If the reply is `taken`, nothing has changed.
   */
  register(claim: HostClaim, mode: 'start' | 'refresh' | 'release'): Promise<RegisterReply>;
  /**
   * Returns the registered networks of hosts, in the order of `hosts`; empty for a host without
   * any.
   */
  networksOf(hosts: readonly string[]): Promise<string[][]>;
}

export function redisHostRegistry(redis: Redis, keys: Keys): HostRegistry {
  return {
    async register({ host, fingerprint, previousNetworkId = '', networks }, mode) {
      const [kind, ...rest] = (await runScript(
        redis,
        script,
        [keys.hosts, keys.registration(host)],
        [host, fingerprint.bootId, fingerprint.networkId, previousNetworkId, mode, ...networks],
      )) as string[];
      if (kind === 'registered') return { kind };
      if (kind === 'taken') {
        const [bootId = '', networkId = '', seenAt] = rest;
        return { kind, by: { bootId, networkId }, seenAt: Number(seenAt) };
      }
      const overlaps: NetworkOverlap[] = [];
      for (let i = 0; i + 3 < rest.length; i += 4) {
        const [network = '', otherHost = '', otherNetwork = '', seenAt] = rest.slice(i, i + 4);
        overlaps.push({ network, otherHost, otherNetwork, otherSeenAt: Number(seenAt) });
      }
      return { kind: 'overlap', overlaps };
    },

    async networksOf(hosts) {
      if (hosts.length === 0) return [];
      const texts = await redis.mget(hosts.map((host) => keys.registration(host)));
      return texts.map(registeredNetworks);
    },
  };
}

/** Parses the networks in a registration. */
export function registeredNetworks(text: string | null): string[] {
  return text === null ? [] : (JSON.parse(text) as { networks: string[] }).networks;
}

/** Networks to check addresses against. */
export interface NetworkList {
  check(address: string): boolean;
}

export function networkList(networks: readonly string[]): NetworkList {
  const list = new BlockList();
  for (const network of networks) {
    const [base = '', bits = '32'] = network.split('/');
    list.addSubnet(base, Number(bits), 'ipv4');
  }
  return {
    check(address) {
      const family = isIP(address);
      return family !== 0 && list.check(address, family === 4 ? 'ipv4' : 'ipv6');
    },
  };
}
