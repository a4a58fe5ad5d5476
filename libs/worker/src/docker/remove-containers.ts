import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS, ignoreStatus, withDeadline } from './deadline.ts';
import { LABEL } from './labels.ts';

/** How many containers are removed at once. */
const CONCURRENCY = 8;

/**
 * Removes the containers of a deployment from a daemon, whatever their state, but for those of the
 * instances to spare.
 *
 * @returns how many were spared
 */
export async function removeContainers(
  docker: Docker,
  namespace: string,
  spare: ReadonlySet<string>,
): Promise<number> {
  const listed = await list(docker, namespace);
  const found = listed.filter(({ Labels }) => !spare.has(Labels[LABEL.instance] ?? ''));
  const spared = listed.length - found.length;
  const lane = async (): Promise<void> => {
    for (let next = found.pop(); next; next = found.pop()) {
      const call = docker.getContainer(next.Id).remove({ force: true, v: true });
      await ignoreStatus([404, 409], withDeadline('remove', 60_000, call));
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, lane));
  return spared;
}

/** The instances that have containers on a daemon, whatever their state. */
export async function instanceIds(docker: Docker, namespace: string): Promise<string[]> {
  const ids = (await list(docker, namespace)).map(({ Labels }) => Labels[LABEL.instance]);
  return [...new Set(ids)].filter((id) => id !== undefined);
}

function list(docker: Docker, namespace: string): Promise<Docker.ContainerInfo[]> {
  const filters = { label: [`${LABEL.namespace}=${namespace}`] };
  return withDeadline('list', DEFAULT_TIMEOUT_MS, docker.listContainers({ all: true, filters }));
}
