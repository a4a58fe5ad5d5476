import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS } from '../limits.ts';
import { ignoreStatus, withDeadline } from './docker-client.ts';
import { inspectNetwork, removeNetwork } from './instances-network.ts';
import { LABEL } from './labels.ts';
import { removeContainers } from './namespace-containers.ts';

/** How long to wait until containers have left a network, or have been created on it, ms. */
const TIMEOUT_MS = 30_000;
const RETRY_DELAY_MS = 250;

export interface ClearOptions {
  /** Ids of instances on other networks, whose containers are kept. */
  readonly spare?: ReadonlySet<string>;
  /** Timeout, ms. */
  readonly timeoutMs?: number;
}

/**
 * Removes a network of a deployment and everything that blocks its removal: containers that were
 * created late, for example by a worker that has just died; containers whose removal is in
 * progress; endpoints of removed containers.
 *
 * @returns `held` if a foreign container uses the network, or a container of the deployment cannot
 * be removed. `miscounted` if no container uses it, but the daemon counts one: under load, a
 * removal that overtakes a start can leave an endpoint that the daemon cannot disconnect. A restart
 * of the daemon frees the network.
 */
export async function clearNetwork(
  docker: Docker,
  namespace: string,
  name: string,
  { spare = new Set(), timeoutMs = TIMEOUT_MS }: ClearOptions = {},
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

/** Whether foreign containers use a network. Also disconnects endpoints of removed containers. */
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
