import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS, withDeadline } from './deadline.ts';
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
