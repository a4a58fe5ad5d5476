import type { DockerClient as Docker } from './docker/docker-client.ts';
import { z } from 'zod';
import type { WorkerConfig } from './create-worker.ts';
import {
  findNetworks,
  isBridgeOf,
  listBridges,
  type InstancesNetwork,
} from './docker/instances-network.ts';
import { listContainers, networksInUse } from './docker/namespace-containers.ts';
import { runInHostNetwork } from './docker/run-on-host.ts';
import { runHere, type RunOnHost } from './firewall.ts';
import { bridgesWithRules, firewallListScript } from './firewall-rules.ts';
import { LABEL } from './docker/labels.ts';
import type { RunStore } from './run-store.ts';

/**
 * The state of one namespace before `ephemera up`, on the Docker daemon and in Redis. At its end,
 * `ephemera up` removes everything else.
 */
export const snapshotSchema = z.object({
  /** Ids of the instances, including those without a container. */
  instances: z.array(z.string()),
  networks: z.array(
    z.object({
      name: z.string(),
      /** Whether an instance used it. */
      used: z.boolean(),
    }),
  ),
  /** The bridges that had firewall rules of Ephemera. */
  rules: z.array(z.string()),
  /** The pool specs as they are stored. Undefined if Redis did not answer. */
  pools: z.record(z.string(), z.string()).optional(),
});

export type Snapshot = z.infer<typeof snapshotSchema>;

/** A snapshot for a removal of everything. */
export const NOTHING: Snapshot = { instances: [], networks: [], rules: [] };

/** Reads the current state. `store` is undefined if Redis does not answer. */
export async function takeSnapshot(
  docker: Docker,
  config: Pick<WorkerConfig, 'namespace' | 'firewall' | 'firewallImage'>,
  store: RunStore | undefined,
): Promise<Snapshot> {
  const { namespace } = config;
  const containers = await listContainers(docker, namespace);
  const used = networksInUse(containers);
  const networks = await findNetworks(docker, namespace, true);
  const living = (await store?.list()) ?? [];
  const ids = [
    ...containers.map(({ Labels }) => Labels[LABEL.instance]),
    ...living.map(({ id }) => id),
  ];
  return {
    instances: [...new Set(ids)].filter((id) => id !== undefined).filter(Boolean),
    networks: networks.map(({ name }) => ({ name, used: used.has(name) })),
    rules: await readRules(docker, config, networks),
    pools: await store?.pools.read(),
  };
}

/**
 * The bridges of a namespace that have rules: those of `networks`, and those whose network
 * is gone, for example after `docker network rm`. Empty if this user cannot read the rules; it could not have
 * set any.
 */
export async function readRules(
  docker: Docker,
  config: Pick<WorkerConfig, 'namespace' | 'firewall' | 'firewallImage'>,
  networks: readonly Pick<InstancesNetwork, 'bridge'>[],
): Promise<string[]> {
  if (config.firewall === 'off') return [];
  try {
    const printed = await runOnHostOf(docker, config)(firewallListScript());
    const expected = new Set(networks.map(({ bridge }) => bridge));
    const used = await listBridges(docker);
    return bridgesWithRules(printed).flatMap((text) => {
      const known = [...expected, ...used].find((bridge) => bridge.toLowerCase() === text);
      if (known !== undefined) return expected.has(known) ? [known] : [];
      return isBridgeOf(config.namespace, text) ? [text] : [];
    });
  } catch {
    return [];
  }
}

/** How firewall scripts run on the Docker host. */
export function runOnHostOf(
  docker: Docker,
  { namespace, firewallImage }: Pick<WorkerConfig, 'namespace' | 'firewallImage'>,
): RunOnHost {
  return firewallImage === undefined ? runHere : runInHostNetwork(docker, namespace, firewallImage);
}
