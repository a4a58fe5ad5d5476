import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS } from '../limits.ts';
import { withDeadline, ignoreStatus } from './docker-client.ts';
import { LABEL } from './labels.ts';

/** The newest container of an instance in any state. Undefined if there is none. */
export async function findContainer(
  docker: Docker,
  scope: { namespace: string; host: string },
  id: string,
): Promise<Docker.Container | undefined> {
  const label = [
    `${LABEL.namespace}=${scope.namespace}`,
    `${LABEL.host}=${scope.host}`,
    `${LABEL.instance}=${id}`,
  ];
  const call = docker.listContainers({ all: true, filters: { label } });
  const [newest] = (await withDeadline('list', DEFAULT_TIMEOUT_MS, call)).sort(
    (a, b) => b.Created - a.Created,
  );
  return newest && docker.getContainer(newest.Id);
}

/** Maximum number of concurrent removals. */
const CONCURRENCY = 8;
const REMOVE_TIMEOUT_MS = 60_000;

/**
 * Removes the containers of a deployment in any state, with their anonymous volumes.
 *
 * @param spare ids of the instances whose containers are kept; a container without an instance is
 * always removed
 * @returns the instance ids of the removed containers, empty for a container without an instance
 */
export async function removeContainers(
  docker: Docker,
  namespace: string,
  spare: ReadonlySet<string>,
): Promise<string[]> {
  const listed = await listContainers(docker, namespace);
  const found = listed.filter(({ Labels }) => !spare.has(Labels[LABEL.instance] ?? ''));
  const removed = found.map(({ Labels }) => Labels[LABEL.instance] ?? '');
  const removeNext = async (): Promise<void> => {
    for (let next = found.pop(); next; next = found.pop()) await removeContainer(docker, next.Id);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, removeNext));
  return removed;
}

/** Removes the containers of one instance immediately, without a stop grace. */
export async function removeInstance(
  docker: Docker,
  namespace: string,
  id: string,
): Promise<number> {
  const found = await listContainers(docker, namespace, `${LABEL.instance}=${id}`);
  for (const { Id } of found) await removeContainer(docker, Id);
  return found.length;
}

async function removeContainer(docker: Docker, id: string): Promise<void> {
  const call = docker.getContainer(id).remove({ force: true, v: true });
  // 409: a removal is already in progress.
  await ignoreStatus([404, 409], withDeadline('remove', REMOVE_TIMEOUT_MS, call));
}

/** The containers of a deployment in any state. */
export function listContainers(
  docker: Docker,
  namespace: string,
  ...labels: string[]
): Promise<Docker.ContainerInfo[]> {
  const filters = { label: [`${LABEL.namespace}=${namespace}`, ...labels] };
  return withDeadline('list', DEFAULT_TIMEOUT_MS, docker.listContainers({ all: true, filters }));
}

/** The names of the networks with instances, including stopped containers. */
export function networksInUse(containers: readonly Docker.ContainerInfo[]): Set<string> {
  return new Set(
    containers
      .filter(({ Labels }) => (Labels[LABEL.instance] ?? '') !== '')
      .flatMap(({ NetworkSettings }) => Object.keys(NetworkSettings.Networks)),
  );
}
