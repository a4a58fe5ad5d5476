import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { BootError } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import type {
  HostClaim,
  HostRegistry,
  NetworkOverlap,
  RegisterReply,
  SharedSetting,
} from '@ephemera/store';
import { type InstancesNetwork, networkIndexOf } from './docker/instances-network.ts';
import { BRIDGE } from './host-reach.ts';
import type { HostReach } from './host-reach.ts';

type Network = Pick<InstancesNetwork, 'id' | 'name' | 'subnet'>;

export interface HostRegistrationOptions {
  readonly registry: Pick<HostRegistry, 'register'>;
  readonly host: string;
  readonly bootId: string;
  /** The current networks of this host, ordered by index. */
  readonly networks: () => readonly Network[];
  /** Where proxies connect to. Default: `bridge`, at addresses of the networks. */
  readonly reach?: HostReach | undefined;
  /** Reads the networks again, because another worker may have recreated one. */
  readonly recheck: () => Promise<void>;
  readonly logger: Logger;
  /**
   * How long a start waits for the heartbeat of another host to expire, and the interval of its
   * checks.
   */
  readonly wait?: { readonly timeoutMs: number; readonly intervalMs: number };
}

/**
 * The registration of this host. It reserves the host id and the networks while the host is alive.
 */
export interface HostRegistration {
  /** Why no instance can be started now, as a sentence. Undefined if there is no conflict. */
  readonly conflict: string | undefined;
  /** Number of networks of this host that overlap a network of another host. */
  readonly overlaps: number;
  /**
   * Registers the host with all its networks.
   * @throws BootError if another live daemon has the host id, another live host has one of the
   * networks, or another live worker of this host has another reach
   */
  start(): Promise<void>;
  /** Registers a further network. Returns the reason if it is refused. */
  claim(network: Network): Promise<string | undefined>;
  /**
   * Records a heartbeat and restores a registration that Redis has lost.
   * @throws HostIdTakenError if another daemon has taken the host id
   */
  heartbeat(): Promise<void>;
  /**
   * Ends the registration, so that a new worker starts without a wait, even with a recreated
   * network.
   */
  release(): Promise<void>;
}

/** Another daemon, or a worker with another reach, has registered under this host id. This worker must stop. */
export class HostIdTakenError extends Error {
  override readonly name = 'HostIdTakenError';
}

/**
 * The heartbeat timeout of 15 s plus one heartbeat. After a reboot, the previous boot id expires
 * within this time. Another worker of this host registers a recreated network within it.
 */
const WAIT = { timeoutMs: 20_000, intervalMs: 1_000 };

/** The boot id of the kernel. A container has the boot id of its machine. */
export async function readBootId(): Promise<string> {
  const text = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => 'unknown');
  return text.trim();
}

export function hostRegistration(options: HostRegistrationOptions): HostRegistration {
  const { registry, host, bootId, networks, reach = BRIDGE, logger, wait = WAIT } = options;
  /** The registered network id. It is kept while the network is being recreated. */
  let networkId = '';
  let overlaps: readonly NetworkOverlap[] = [];

  const register = async (mode: 'start' | 'refresh' | 'release', current = networks()) => {
    const present = current[0]?.id ?? networkId;
    const claim: HostClaim = {
      host,
      fingerprint: { bootId, networkId: present },
      previousNetworkId: networkId,
      ...endpointsOf(reach, current),
    };
    const reply = await registry.register(claim, mode);
    if (reply.kind !== 'taken' && reply.kind !== 'reach') networkId = present;
    return reply;
  };

  const updateOverlaps = (reply: RegisterReply): void => {
    const found = reply.kind === 'overlap' ? reply.overlaps : [];
    const known = new Set(overlaps.map(keyOf));
    for (const overlap of found) {
      if (known.has(keyOf(overlap))) continue;
      logger.error(
        { host, ...overlap },
        `instances can no longer be started: ${overlapSentence(host, overlap, networks())}`,
      );
    }
    if (overlaps.length > 0 && found.length === 0) {
      logger.info({ host }, 'all networks are registered again: instances can be started');
    }
    overlaps = found;
  };

  return {
    get conflict() {
      const [first] = overlaps;
      return first && overlapSentence(host, first, networks());
    },
    get overlaps() {
      return overlaps.length;
    },

    async start() {
      const end = performance.now() + wait.timeoutMs;
      const first = await register('start');
      for (let reply = first; ; reply = await register('start')) {
        if (reply.kind === 'registered') return;
        if (reply === first) {
          logger.warn(
            { host, reply, waitMs: wait.timeoutMs },
            'the host id or a network is in use: waiting for the heartbeat of the other host to expire',
          );
        }
        if (isHeld(first, reply, bootId) || performance.now() >= end) {
          throw new BootError(
            reply.kind === 'overlap'
              ? reply.overlaps
                  .map((overlap) => overlapSentence(host, overlap, networks()))
                  .join('\n')
              : refusalSentence(host, reply, reach),
          );
        }
        await sleep(wait.intervalMs);
      }
    },

    async claim(network) {
      // A recreated network replaces the previous one of the same name.
      const others = networks().filter(({ name }) => name !== network.name);
      const all = [...others, network].sort(
        (a, b) => networkIndexOf(a.name) - networkIndexOf(b.name),
      );
      const reply = await register('refresh', all);
      if (reply.kind === 'registered') return undefined;
      if (reply.kind !== 'overlap') return refusalSentence(host, reply, reach);
      const overlap = reply.overlaps.find(
        (networkOverlap) => networkOverlap.network === network.subnet,
      );
      return overlap && overlapSentence(host, overlap, []);
    },

    async heartbeat() {
      let reply = await register('refresh');
      if (reply.kind === 'taken') {
        // Another worker of this host may have recreated the network and registered its id.
        await options.recheck();
        reply = await register('refresh');
      }
      if (reply.kind === 'taken' || reply.kind === 'reach') {
        throw new HostIdTakenError(refusalSentence(host, reply, reach));
      }
      updateOverlaps(reply);
    },

    async release() {
      await register('release');
    },
  };
}

/**
 * Where proxies connect to, and the networks of the containers. With published ports, several hosts
 * may have the same networks, because no proxy connects to them.
 */
function endpointsOf(
  reach: HostReach,
  networks: readonly Network[],
): Omit<HostClaim, 'host' | 'fingerprint' | 'previousNetworkId'> {
  const subnets = networks.map(({ subnet }) => subnet);
  switch (reach.kind) {
    case 'bridge':
      return { reach: reach.kind, networks: subnets };
    case 'routed':
      return { reach: reach.kind, proxies: reach.proxies, networks: subnets };
    case 'published': {
      const { kind, address, ports, proxies } = reach;
      const endpoints = { networks: [`${address}/32`], containers: subnets };
      return { reach: kind, address, ports, proxies, ...endpoints };
    }
  }
}

function keyOf({ network, otherHost }: NetworkOverlap): string {
  return `${network} ${otherHost}`;
}

/**
 * Whether further waiting is useless, because the other host has sent a heartbeat since the first
 * attempt. With the same boot id it may be a worker of this daemon, which will register the network
 * that it recreated.
 */
function isHeld(first: RegisterReply, last: RegisterReply, bootId: string): boolean {
  if (last.kind === 'taken') {
    return first.kind === 'taken' && last.by.bootId !== bootId && last.seenAt > first.seenAt;
  }
  if (last.kind === 'reach') return first.kind === 'reach' && last.seenAt > first.seenAt;
  if (first.kind !== 'overlap' || last.kind !== 'overlap') return false;
  const before = new Map(first.overlaps.map((overlap) => [keyOf(overlap), overlap.otherSeenAt]));
  return last.overlaps.some(
    (overlap) => overlap.otherSeenAt > (before.get(keyOf(overlap)) ?? Infinity),
  );
}

function overlapSentence(
  host: string,
  { network, otherHost, otherNetwork }: NetworkOverlap,
  networks: readonly Network[],
): string {
  if (network.endsWith('/32')) {
    return (
      `EPHEMERA_ADVERTISE is ${network.replace('/32', '')}, which is in the network ${otherNetwork} of the host ` +
      `${otherHost}, which is alive. Requests for instances of one host would reach the other. Set it to ` +
      `an address of the machine of the host ${host}, and start its workers again.`
    );
  }
  const name = networks.find(({ subnet }) => subnet === network)?.name;
  const removal = name === undefined ? '' : `, remove the Docker network "${name}" of that host`;
  return (
    `The network ${network} of the host ${host} overlaps the network ${otherNetwork} of the host ` +
    `${otherHost}, which is alive. Requests for instances of one host would reach instances of the ` +
    'other. Set EPHEMERA_SUBNET on one of the two hosts to /16s that no other host uses, such as ' +
    `10.240.0.0/16${removal}, and start its workers again.`
  );
}

function refusalSentence(
  host: string,
  reply: Extract<RegisterReply, { kind: 'taken' | 'reach' }>,
  reach: HostReach,
): string {
  if (reply.kind === 'reach') {
    const { name, value } = settingOf(reach, reply.setting);
    const theirs = reply.setting === 'proxies' ? 'another list' : reply.value || 'none';
    return (
      `${name} is ${value || 'not set'}, and another worker of the host ${host}, which is alive, has ${theirs}. ` +
      'All workers of a host need the same value. To change it, stop all of them, then start them with the new value.'
    );
  }
  return (
    `The host id "${host}" belongs to another Docker daemon, whose last heartbeat is less than ` +
    "15 s old. Two daemons under one host id would end each other's instances. Set " +
    'EPHEMERA_HOST_ID to a different name on each machine, and start this worker again.'
  );
}

function settingOf(reach: HostReach, setting: SharedSetting): { name: string; value: string } {
  const published = reach.kind === 'published' ? reach : undefined;
  switch (setting) {
    case 'reach':
      return { name: 'EPHEMERA_REACH', value: reach.kind };
    case 'ports': {
      const value = published && `${published.ports.first}-${published.ports.last}`;
      return { name: 'EPHEMERA_PUBLISHED_PORTS', value: value ?? '' };
    }
    case 'address':
      return { name: 'EPHEMERA_ADVERTISE', value: published?.address ?? '' };
    case 'proxies':
      return {
        name: 'EPHEMERA_PROXIES',
        value: reach.kind === 'bridge' ? '' : reach.proxies.join(','),
      };
  }
}
