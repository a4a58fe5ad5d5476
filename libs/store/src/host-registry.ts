import { createHash } from 'node:crypto';
import { BlockList, isIP } from 'node:net';
import type { Endpoint, Reach } from '@ephemera/domain';
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
  /** Where proxies connect to its instances, IPv4 CIDR: its networks, or its published address. */
  readonly networks: readonly string[];
  /**
   * The networks of its containers that proxies do not connect to, IPv4 CIDR. Several hosts may have
   * the same one, but none overlaps `networks` of another host. Default: none.
   */
  readonly containers?: readonly string[] | undefined;
  /** Default: `bridge`. */
  readonly reach?: Reach | undefined;
  /** The published ports. Undefined: every port leads to an instance. */
  readonly ports?: PortRange | undefined;
  /** The published address. */
  readonly address?: string | undefined;
  /** The IPv4 ranges of its proxies, in any order. */
  readonly proxies?: readonly string[] | undefined;
}

/** A setting that all workers of a host have in common. */
export type SharedSetting = 'reach' | 'ports' | 'address' | 'proxies';

/** A range of TCP ports, both ends included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
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
  | { readonly kind: 'taken'; readonly by: Fingerprint; readonly seenAt: number }
  /** A live worker of this host has registered another value. */
  | {
      readonly kind: 'reach';
      readonly setting: SharedSetting;
      /** The registered value; of `proxies` a hash. Empty: none. */
      readonly value: string;
      readonly seenAt: number;
    };

/**
 * The networks and fingerprints of all hosts: no two live hosts share an id or an address at which
 * proxies connect, and none has containers at such an address of another.
 */
export interface HostRegistry {
  /**
   * Registers a host and records a heartbeat of it, in one step.
   *
   * - `start` replaces the networks of the host; on an overlap it changes nothing.
   * - `refresh` adds networks and skips those that overlap.
   * - `release` records no heartbeat, because the worker stops. Until another worker's next
   *   heartbeat, another fingerprint of the same boot may take the id.
   *
   * If the reply is `taken` or `reach`, nothing has changed.
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
    async register(claim, mode) {
      const { host, fingerprint, previousNetworkId = '', networks } = claim;
      const { reach = 'bridge', ports, address = '', proxies = [], containers = [] } = claim;
      const [kind, ...rest] = (await runScript(
        redis,
        script,
        [keys.hosts, keys.registration(host)],
        [
          ...[host, fingerprint.bootId, fingerprint.networkId, previousNetworkId, mode, reach],
          ...[ports ? `${ports.first}-${ports.last}` : '', address, hashOf(proxies)],
          ...[networks.length, ...networks, ...containers],
        ],
      )) as string[];
      if (kind === 'registered') return { kind };
      if (kind === 'taken') {
        const [bootId = '', networkId = '', seenAt] = rest;
        return { kind, by: { bootId, networkId }, seenAt: Number(seenAt) };
      }
      if (kind === 'reach') {
        const [setting, value = '', seenAt] = rest;
        return { kind, setting: setting as SharedSetting, value, seenAt: Number(seenAt) };
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

/** Empty for an empty list. */
function hashOf(ranges: readonly string[]): string {
  if (ranges.length === 0) return '';
  const list = [...new Set(ranges)].sort().join(',');
  return createHash('sha256').update(list).digest('hex').slice(0, 16);
}

/** The part of a registration that readers need. */
interface Registration {
  readonly boot: string;
  readonly reach?: Reach;
  /** `FIRST-LAST` */
  readonly ports?: string;
  readonly networks: readonly string[];
}

function registeredNetworks(text: string | null): string[] {
  return text === null ? [] : [...(JSON.parse(text) as Registration).networks];
}

/** What proxies may connect to on a host. */
export interface RegisteredEndpoints {
  admits(endpoint: Endpoint): boolean;
}

/** @param text the registration of a host */
export function registeredEndpoints(text: string): RegisteredEndpoints {
  const { networks, ports } = JSON.parse(text) as Registration;
  const list = new BlockList();
  for (const network of networks) {
    const [base = '', bits = '32'] = network.split('/');
    list.addSubnet(base, Number(bits), 'ipv4');
  }
  const [first = 0, last = 65_535] = ports?.split('-').map(Number) ?? [];
  return {
    admits({ address, port }) {
      const family = isIP(address);
      if (family === 0 || port < first || port > last) return false;
      return list.check(address, family === 4 ? 'ipv4' : 'ipv6');
    },
  };
}
