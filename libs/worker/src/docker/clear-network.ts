import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS, ignoreStatus, withDeadline } from './deadline.ts';
import { inspectNetwork, removeNetwork } from './instances-network.ts';
import { LABEL } from './labels.ts';
import { removeContainers } from './remove-containers.ts';

/** How long a container may take to leave a network, or to be there that was being made, ms. */
const TIMEOUT_MS = 30_000;
const RETRY_DELAY_MS = 250;

export interface ClearOptions {
  /** Ids of instances, on other networks, that stay. */
  readonly spare?: ReadonlySet<string>;
  /** How long to try, ms. */
  readonly within?: number;
}

/**
 * Removes a network of a deployment with what holds it: containers that were made after all others
 * were removed, such as by a worker that has just died; those whose removal is under way; places of
 * containers that are gone.
 *
 * @returns `held` where somebody else's container is on it, or one of ours does not go;
 * `miscounted` where nothing is on it and the daemon takes it for used all the same: of containers
 * whose removal overtook their start under load, it may count places that it cannot name any more,
 * and lets go of the network when it is started again
 */
export async function clearNetwork(
  docker: Docker,
  namespace: string,
  name: string,
  { spare = new Set(), within: timeoutMs = TIMEOUT_MS }: ClearOptions = {},
): Promise<'removed' | 'held' | 'miscounted'> {
  const end = performance.now() + timeoutMs;
  while (!(await removeNetwork(docker, name))) {
    if (await isHeldByOthers(docker, namespace, name)) return 'held';
    if (performance.now() > end) {
      const holders = (await inspectNetwork(docker, name))?.Containers ?? {};
      return Object.keys(holders).length > 0 ? 'held' : 'miscounted';
    }
    await removeContainers(docker, namespace, spare);
    await sleep(RETRY_DELAY_MS);
  }
  return 'removed';
}

/** Frees the places of containers that are gone on the way. */
async function isHeldByOthers(docker: Docker, namespace: string, name: string): Promise<boolean> {
  const holders = Object.entries((await inspectNetwork(docker, name))?.Containers ?? {});
  let others = false;
  for (const [id, { Name }] of holders) {
    const inspected = withDeadline(
      'inspect',
      DEFAULT_TIMEOUT_MS,
      docker.getContainer(id).inspect(),
    );
    const seen = await ignoreStatus([404], inspected);
    if (seen) {
      others ||= seen.Config.Labels[LABEL.namespace] !== namespace;
      continue;
    }
    const call = docker.getNetwork(name).disconnect({ Container: Name, Force: true });
    await ignoreStatus([403, 404], withDeadline('disconnect', DEFAULT_TIMEOUT_MS, call));
  }
  return others;
}
