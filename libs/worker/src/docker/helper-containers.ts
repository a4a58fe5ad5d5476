import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS, HELPER_ABANDONED_AFTER_MS } from '../limits.ts';
import { ignoreStatus, withDeadline } from './docker-client.ts';
import { LABEL } from './labels.ts';

/** Roles of the short-lived containers that a worker makes for itself. */
export type HelperRole = 'firewall' | 'image-reader' | 'exec' | 'files';

interface Helper {
  readonly namespace: string;
  readonly role: HelperRole;
  /** The id of a helper that was just created. Undefined: the newest one tells the time. */
  readonly own?: string | undefined;
  /** Milliseconds. */
  readonly after?: number | undefined;
}

/**
 * Removes the helpers of a role that a dead worker has left. Creation times are compared with that
 * of the own helper, so that only the daemon's clock counts. A failure leaves them to the next call.
 */
export async function removeAbandoned(
  docker: Docker,
  { namespace, role, own, after = HELPER_ABANDONED_AFTER_MS }: Helper,
): Promise<void> {
  const filters = { label: [`${LABEL.namespace}=${namespace}`, `${LABEL.role}=${role}`] };
  const remove = async ({ Id }: Docker.ContainerInfo) => {
    const removal = docker.getContainer(Id).remove({ force: true, v: true });
    await ignoreStatus([404, 409], withDeadline('remove', DEFAULT_TIMEOUT_MS, removal));
  };
  try {
    const listing = docker.listContainers({ all: true, filters });
    const found = await withDeadline('list', DEFAULT_TIMEOUT_MS, listing);
    const mine = found.find(({ Id }) => Id === own);
    const now = mine?.Created ?? Math.max(...found.map(({ Created }) => Created));
    const abandoned = found.filter(
      ({ Id, Created }) => Id !== own && (now - Created) * 1000 >= after,
    );
    for (const helper of abandoned) await remove(helper);
  } catch {
    // The work of the helper does not depend on it, and the next helper tries again.
  }
}
