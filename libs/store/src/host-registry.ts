import { BlockList, isIP } from 'node:net';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import { loadScript, runScript } from './run-script.ts';

const script = loadScript('register');

/** What tells one Docker daemon from another one that has the same host id. */
export interface Fingerprint {
  /** Of the kernel; it changes with every boot, and differs on cloned machines. */
  readonly bootId: string;
  /** Of the first Docker network of the instances; two daemons on one kernel differ in it. */
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
   * `start` replaces the networks of the host; on an overlap it changes nothing. `refresh` adds to
   * them and leaves out what overlaps. `release` records no heartbeat: a worker stops, and until
   * the next heartbeat of another worker the id may go to another fingerprint of the same boot. A fingerprint that is `taken` changes nothing either way.
   */
  register(claim: HostClaim, mode: 'start' | 'refresh' | 'release'): Promise<RegisterReply>;
  /** The registered networks of hosts, in the order asked for; empty where a host has none. */
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

/** The networks in a registration as Redis has it. */
export function registeredNetworks(text: string | null): string[] {
  return text === null ? [] : (JSON.parse(text) as { networks: string[] }).networks;
}

/** Networks to look addresses up in. */
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
