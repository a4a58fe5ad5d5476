import { setTimeout as sleep } from 'node:timers/promises';
import type { Instance } from '@ephemera/domain';
import { kill, requestKill } from '@ephemera/lifecycle';
import { withDeadline } from './docker/docker-client.ts';
import type { DockerClient as Docker } from './docker/docker-client.ts';
import type { WorkerConfig } from './create-worker.ts';
import { clearNetwork } from './docker/clear-network.ts';
import { removeHelperVolumes } from './docker/files-helper.ts';
import { disconnectInfrastructure } from './docker/infrastructure.ts';
import { findNetworks, isMadeByWorker } from './docker/instances-network.ts';
import type { InstancesNetwork } from './docker/instances-network.ts';
import { LABEL } from './docker/labels.ts';
import {
  listContainers,
  networksInUse,
  removeContainers,
  removeInstance,
} from './docker/namespace-containers.ts';
import { firewallRemovalScript } from './firewall-rules.ts';
import { DEFAULT_TIMEOUT_MS } from './limits.ts';
import type { RunStore } from './run-store.ts';
import { readRules, runOnHostOf } from './snapshot.ts';
import type { Snapshot } from './snapshot.ts';

export interface RemovalOptions {
  readonly docker: Docker;
  readonly config: Pick<WorkerConfig, 'namespace' | 'firewall' | 'firewallImage'>;
  /** The id of this host. */
  readonly host: string;
  /** Undefined if Redis does not answer or must not be changed. */
  readonly store: RunStore | undefined;
  /** The state before the start, which is kept. */
  readonly before: Snapshot;
  /** Leaves the instances to their deadlines, except unclaimed pool instances. */
  readonly keep: boolean;
}

const DRAIN_TIMEOUT_MS = 30_000;
const PAUSE_MS = 100;

/**
 * Ends the instances of a start through its workers, which are still running: with stop grace, log
 * archive and webhooks. Waits until they are gone, at most 30 s.
 *
 * @returns the ids of the instances that were ended
 */
export async function drainSince(
  options: RemovalOptions & { readonly store: RunStore },
  onProgress: (text: string) => void,
): Promise<string[]> {
  const { store } = options;
  const ended = new Set<string>();
  const until = performance.now() + DRAIN_TIMEOUT_MS;
  for (;;) {
    // Repeat the list: a request or a pool may have started another instance.
    const left = await instancesSince(options, store);
    for (const instance of left) {
      if (ended.has(instance.id)) continue;
      // `surplus` does not end a warm instance that was claimed first.
      const reason = options.keep && instance.state === 'warm' ? 'surplus' : 'request';
      if ((await requestKill(store, instance.id, reason)).kind === 'draining')
        ended.add(instance.id);
    }
    if (ended.size > 0)
      onProgress(`${Math.max(0, ended.size - left.length)} of ${ended.size} gone`);
    if (left.length === 0 || performance.now() > until) return [...ended];
    await sleep(PAUSE_MS);
  }
}

/** The instances of this host, or without a host, that did not exist before the start. */
async function instancesSince(
  { host, before, keep }: RemovalOptions,
  store: RunStore,
): Promise<Instance[]> {
  const spared = new Set(before.instances);
  const isShared = await store.hasOtherHosts(host);
  return (await store.list()).filter(
    (instance) =>
      !spared.has(instance.id) &&
      (instance.host === host || (instance.host === undefined && !isShared)) &&
      (!keep || instance.pool !== undefined),
  );
}

export interface Removal {
  /** Ids of the instances that were ended. */
  readonly instances: readonly string[];
  /** Number of removed containers. */
  readonly containers: number;
  /** Names of the removed networks. */
  readonly networks: readonly string[];
  /** The bridges whose firewall rules were removed. */
  readonly rules: readonly string[];
  readonly remaining: {
    /** Ids of the remaining instances with a container here: those of earlier starts. */
    readonly before: readonly string[];
    /** With `keep`: ids of the remaining instances of this start. */
    readonly kept: readonly string[];
    readonly networks: readonly { readonly name: string; readonly reason: string }[];
    /** Bridges that have firewall rules. */
    readonly rules: readonly string[];
    /** Number of running containers on the daemon, including foreign ones. */
    readonly running: number;
  };
  /** Descriptions of failed steps, for people. */
  readonly problems: readonly string[];
}

/** Interval and maximum time of the search for containers that appear late, ms. */
const LATE_PAUSE_MS = 250;
const LATE_TIMEOUT_MS = 30_000;

/**
 * Removes everything that a start has left, after its workers have exited: instances in Redis with
 * their kill jobs and pools, containers, networks, firewall rules. Idempotent.
 *
 * @param quietMs time without a new container after which the removal continues; the daemon may
 * complete a create call whose worker has died
 */
export async function removeSince(options: RemovalOptions, quietMs: number): Promise<Removal> {
  const { docker, config, store, before, keep } = options;
  const { namespace } = config;
  const problems: string[] = [];
  const ended = new Set<string>();
  const spare = new Set(before.instances);
  let containers = 0;

  try {
    await endInStore();
  } catch (error) {
    problems.push(`Redis failed: ${(error as Error).message}`);
    if (keep) for (const id of await containerIds(docker, namespace)) spare.add(id);
  }

  const start = performance.now();
  for (let lastFound = start; ;) {
    const removed = await removeContainers(docker, namespace, spare);
    const now = performance.now();
    if (removed.length > 0) lastFound = now;
    containers += removed.length;
    for (const id of removed) if (id !== '') ended.add(id);
    if (now - lastFound >= quietMs || now - start > LATE_TIMEOUT_MS) break;
    await sleep(LATE_PAUSE_MS);
  }

  try {
    await removeHelperVolumes(docker, namespace);
  } catch (error) {
    problems.push(`Volumes were not removed: ${(error as Error).message}`);
  }
  const { networks, rules, remaining } = await removeNetworks(options, spare, problems);
  const ids = await containerIds(docker, namespace);
  const isBefore = (id: string) => before.instances.includes(id);
  const all = await withDeadline('list', DEFAULT_TIMEOUT_MS, docker.listContainers());
  return {
    instances: [...ended],
    containers,
    networks,
    rules,
    remaining: {
      before: ids.filter(isBefore),
      kept: ids.filter((id) => !isBefore(id)),
      ...remaining,
      running: all.length,
    },
    problems,
  };

  async function endInStore(): Promise<void> {
    // Only Redis knows which instances are unclaimed.
    if (!store) {
      if (keep) for (const id of await containerIds(docker, namespace)) spare.add(id);
      return;
    }
    if (before.pools && !(await store.hasOtherHosts(options.host))) {
      // Otherwise the next worker would refill the pools of this start.
      await store.pools.replace(before.pools);
    }
    const remove = async (id: string) => {
      containers += await removeInstance(docker, namespace, id);
    };
    const ports = {
      ...store,
      containers: { removeInstance: remove, pauseContainer: never, unpauseContainer: never },
    };
    for (const { id } of await instancesSince(options, store)) {
      if ((await kill(ports, id, 'request')).kind === 'killed') ended.add(id);
    }
    if (keep) for (const { id } of await store.list()) spare.add(id);
  }
}

/** Removes the networks of the start that no instance uses, and their firewall rules. */
async function removeNetworks(
  { docker, config, before }: RemovalOptions,
  spare: ReadonlySet<string>,
  problems: string[],
) {
  const { namespace, firewall } = config;
  const found = await findNetworks(docker, namespace, true);
  const used = networksInUse(await listContainers(docker, namespace));
  const known = new Map(before.networks.map((network) => [network.name, network]));
  const staying = new Map<string, string>();
  for (const { name } of found) {
    const reason = await reasonToStay(name);
    if (reason !== undefined) staying.set(name, reason);
  }
  const isUnneeded = (network: InstancesNetwork) =>
    !staying.has(network.name) ||
    (!used.has(network.name) && !before.rules.includes(network.bridge));
  const had = await readRules(docker, config, found);
  const ofNetworks = new Set(found.map(({ bridge }) => bridge));
  const withoutNetwork = had.filter(
    (bridge) => !ofNetworks.has(bridge) && !before.rules.includes(bridge),
  );
  const unneeded = found.filter(isUnneeded).map(({ bridge }) => bridge);
  const left = await removeRules([...unneeded, ...withoutNetwork]);
  const networks: string[] = [];
  for (const { name } of found) {
    if (staying.has(name)) continue;
    if (name !== namespace) await disconnectInfrastructure(docker, name);
    const outcome = await clearNetwork(docker, namespace, name, { spare });
    if (outcome === 'removed') {
      networks.push(name);
      continue;
    }
    staying.set(name, OUTCOMES[outcome]);
    if (outcome === 'held') problems.push(`The network ${name} was not removed: ${OUTCOMES.held}.`);
  }
  return {
    networks,
    rules: had.filter((bridge) => !left.includes(bridge)),
    remaining: {
      networks: [...staying].map(([name, reason]) => ({ name, reason })),
      rules: left,
    },
  };

  async function reasonToStay(name: string): Promise<string | undefined> {
    if (used.has(name)) return 'instances use it';
    if (!(await isMadeByWorker(docker, namespace, name))) return 'no worker created it';
    const earlier = known.get(name);
    // A network that was kept for its instances is not needed after their end.
    return earlier && !earlier.used ? 'it existed before this start' : undefined;
  }

  /** Returns the bridges that still have rules. */
  async function removeRules(of: readonly string[]): Promise<string[]> {
    if (firewall === 'off' || of.length === 0) return had;
    try {
      const script = of.map((bridge) => firewallRemovalScript({ bridge })).join('\n');
      await runOnHostOf(docker, config)(script);
    } catch (error) {
      problems.push(`The firewall rules were not removed: ${(error as Error).message}`);
    }
    return readRules(docker, config, found);
  }
}

const OUTCOMES = {
  held: 'a foreign container uses it',
  miscounted:
    'the Docker daemon still counts a removed container on it; restart the daemon to remove it',
} as const;

async function containerIds(docker: Docker, namespace: string): Promise<string[]> {
  const found = await listContainers(docker, namespace);
  const ids = found.map(({ Labels }) => Labels[LABEL.instance]);
  return [...new Set(ids)].filter((id) => id !== undefined).filter(Boolean);
}

function never(): Promise<void> {
  return Promise.reject(new Error('an end on request does not pause instances'));
}
